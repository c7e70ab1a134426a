//go:build system

package system

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKafkaAway starts without a broker: no call is taken and the reason is told.
// With the broker there it goes on by itself; with the broker away again calls are
// served from memory and recorded in the spool, and nothing is lost.
func TestKafkaAway(t *testing.T) {
	s := start(t, options{without: []string{"kafka", "consumers"}})
	g := s.newGateway("gateway")
	g.begin(t)
	s.consumers.begin(t)

	eventually(t, 20*time.Second, answersWith(g.admin+"/readyz", http.StatusServiceUnavailable, "afka"))
	wantFault(t, g.chat("MAIN", "gpt-5-mini", ""), 503, "not_ready", "")

	s.kafka.start(t)
	g.waitReady(t)
	s.consumers.waitReady(t)
	wantOK(t, g.chat("MAIN", "gpt-5-mini", ""))
	s.becomes("SELECT count() FROM requests FINAL WHERE outcome = 'ok'", "1")

	s.kafka.kill(t)
	for range 20 {
		wantOK(t, g.chat("MAIN", "gpt-5-mini", ""))
	}
	s.kafka.start(t)
	s.becomes("SELECT count(), uniqExact(request_id) FROM requests FINAL WHERE outcome = 'ok'", "21 21")

	// A gateway that is killed while Kafka is away ships what it had after its next start.
	s.kafka.kill(t)
	for range 5 {
		wantOK(t, g.chat("MAIN", "gpt-5-mini", ""))
	}
	g.kill(t)
	s.kafka.start(t)
	g.start(t)
	s.becomes("SELECT count(), uniqExact(request_id) FROM requests FINAL WHERE outcome = 'ok'", "26 26")
}

// TestClickHouseAway starts without ClickHouse and loses it later: calls are served,
// and the tables have all of them in the end.
func TestClickHouseAway(t *testing.T) {
	s := start(t, options{without: []string{"clickhouse", "consumers"}})
	s.consumers.begin(t)
	g := s.startGateway("gateway")
	wantOK(t, g.chat("MAIN", "gpt-5-mini", ""))
	eventually(t, 20*time.Second, answersWith("http://"+s.consumersAddr+"/readyz", http.StatusServiceUnavailable, "lick"))

	s.clickhouse.start(t)
	s.makeDatabase()
	s.consumers.waitReady(t)
	s.becomes("SELECT count() FROM requests FINAL WHERE outcome = 'ok'", "1")

	s.clickhouse.kill(t)
	for range 20 {
		wantOK(t, g.chat("MAIN", "gpt-5-mini", ""))
	}
	time.Sleep(time.Second) // inserts fail meanwhile
	s.clickhouse.start(t)
	s.becomes("SELECT count(), uniqExact(request_id) FROM requests FINAL WHERE outcome = 'ok'", "21 21")
	s.becomes("SELECT sum(calls) FROM rollup_minute FINAL WHERE outcome = 'ok'", "21")
}

// TestSecondStart starts everything again over the same data.
func TestSecondStart(t *testing.T) {
	s := start(t, options{})
	g := s.startGateway("gateway")
	wantOK(t, g.chat("MAIN", "gpt-5-mini", ""))
	for _, p := range []*process{g.process, s.consumers, s.clickhouse, s.kafka} {
		p.stop(t)
	}
	for _, p := range []*process{s.kafka, s.clickhouse, s.consumers, g.process} {
		p.start(t)
	}
	wantOK(t, g.chat("MAIN", "gpt-5-mini", ""))
	s.becomes("SELECT count() FROM requests FINAL WHERE outcome = 'ok'", "2")
	s.becomes("SELECT sum(held_nanos) FROM balances", "0")
}

// TestStartRefused starts programs that cannot run: each ends with code 1 and says
// on one line what is wrong and what to do.
func TestStartRefused(t *testing.T) {
	s := start(t, options{})
	g := s.startGateway("gateway")

	f := func(name string, p *process, want ...string) {
		t.Run(name, func(t *testing.T) {
			p.begin(t)
			code, output := p.wait(t)
			if code != 1 {
				t.Fatalf("unexpected exit code; got %d; want 1\n%s", code, output)
			}
			for _, w := range want {
				if !strings.Contains(output, w) {
					t.Fatalf("the output does not say %q:\n%s", w, output)
				}
			}
		})
	}
	env := func(kv ...string) map[string]string {
		m := map[string]string{"TALLYGATE_ADDR": freeAddr(t), "TALLYGATE_ADMIN_ADDR": freeAddr(t), "TALLYGATE_DATA": filepath.Join(s.dir, "refused")}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	f("port taken", s.newProcess("port-taken", "gateway", env("TALLYGATE_ADDR", g.addr)),
		"cannot listen on "+g.addr+": address already in use", "TALLYGATE_ADDR")
	f("admin port taken", s.newProcess("admin-port-taken", "gateway", env("TALLYGATE_ADMIN_ADDR", strings.TrimPrefix(g.admin, "http://"))),
		"address already in use", "TALLYGATE_ADMIN_ADDR")
	f("data folder in use", s.newProcess("data-in-use", "gateway", env("TALLYGATE_DATA", g.data)), g.data, "in use by process")
	f("no configuration", s.newProcess("no-config", "gateway", env("TALLYGATE_CONFIG", "/no/such/file.yaml")),
		"cannot read the configuration", "/no/such/file.yaml")
	f("consumers' port taken", s.newProcess("consumers-port-taken", "consumers", map[string]string{"TALLYGATE_CONSUMERS_ADDR": s.consumersAddr}),
		"address already in use", "TALLYGATE_CONSUMERS_ADDR")
	f("broker's data in use", s.newProcess("kafka-data-in-use", "kafkalocal", nil, "-addr", freeAddr(t), "-data", s.lockedData(t)), "use")

	bad := filepath.Join(s.dir, "bad.yaml")
	text := "gateway:\n  read_timeout: soon\n  body_limit_bytes: 0\nspool:\n  quota: 5\npolicy:\n  orgs:\n    - id: _x\n"
	if err := os.WriteFile(bad, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	mistakes := []string{
		bad + ":2: gateway.read_timeout: ", bad + ":3: gateway.body_limit_bytes: ", bad + ":5: spool.quota: unknown field", bad + ":8: policy.orgs[0].id: ",
	}
	f("all mistakes of a configuration", s.newProcess("bad-config", "gateway", env("TALLYGATE_CONFIG", bad)), mistakes...)
	f("all mistakes, by -check", s.newProcess("bad-config-check", "gateway", env("TALLYGATE_CONFIG", bad), "-check"), mistakes...)
	f("all mistakes, by the consumers", s.newProcess("bad-config-consumers", "consumers", env("TALLYGATE_CONFIG", bad)), mistakes...)
	f("a secret that is not there", s.newProcess("no-pepper", "gateway", env("TALLYGATE_PEPPER", "")), "env:TALLYGATE_PEPPER")
	f("a short pepper", s.newProcess("short-pepper", "gateway", env("TALLYGATE_PEPPER", "short")), "32 bytes")

	wantOK(t, g.chat("MAIN", "gpt-5-mini", ""))
}

// lockedData is the data folder of the broker that runs.
func (s *stack) lockedData(t *testing.T) string {
	t.Helper()
	if os.Getenv("TALLYGATE_TEST_KAFKA") == "real" {
		// The embedded broker does not share folders with Apache Kafka: it gets one of its own.
		p := s.newProcess("kafka-first", "kafkalocal", nil, "-addr", freeAddr(t), "-data", filepath.Join(s.dir, "kafka-first"))
		p.ready = func() error { return brokerAnswers(p.args[1]) }
		p.start(t)
		return p.args[3]
	}
	return filepath.Join(s.dir, "kafka")
}

func wantOK(t *testing.T, a answer) {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("unexpected answer; got %d %s; want 200", a.status, a.body)
	}
}
