//go:build system

package system

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	lostCalls      = 100_000
	lostCallsShort = 5_000
	lostWorkers    = 48
	// lostPause is between two calls of a worker that is ahead.
	lostPause = 200 * time.Millisecond
)

// TestNothingLost makes many calls through two gateways while gateways, consumers, the
// broker and ClickHouse are killed (SIGKILL) and started again over the same data. In
// the end the log is whole, and ledger, audit table and rollups are equal to a plain
// sum over it; and every answer that a client got has exactly one record.
func TestNothingLost(t *testing.T) {
	calls := lostCalls
	if testing.Short() {
		calls = lostCallsShort
	}
	s := start(t, options{})
	gateways := []*gateway{s.startGateway("gateway-1"), s.startGateway("gateway-2")}

	load := &killedLoad{gateways: gateways, want: int64(calls)}
	load.begin(s.keys)

	// kill ends processes at once and starts them again, some time later.
	kill := func(share float64, away time.Duration, victims ...*process) {
		t.Helper()
		load.reach(t, share)
		for _, p := range victims {
			t.Logf("%6.1fs %6d answers: SIGKILL to %s", time.Since(load.begun).Seconds(), load.answered.Load(), p.name)
			p.kill(t)
		}
		time.Sleep(away)
		for _, p := range victims {
			p.begin(t)
		}
		for _, p := range victims {
			p.waitReady(t)
		}
		t.Logf("%6.1fs %6d answers: ready again", time.Since(load.begun).Seconds(), load.answered.Load())
	}
	kill(0.10, 0, gateways[0].process)
	kill(0.25, 300*time.Millisecond, s.consumers)
	kill(0.40, time.Second, s.kafka)
	kill(0.55, time.Second, s.clickhouse)
	kill(0.70, 0, gateways[1].process)
	kill(0.80, 500*time.Millisecond, s.kafka, s.consumers, gateways[0].process)
	kill(0.90, 0, s.consumers)
	load.finish(t)

	for _, g := range gateways {
		g.stop(t)
	}
	t.Logf("%d answers, %d connections broken by kills, %s", load.answered.Load(), load.broken.Load(), load.took.Round(time.Second))
	s.wantNothingLost(t, load.answers)
}

// killedLoad calls gateways that may be killed at any moment.
type killedLoad struct {
	gateways []*gateway
	want     int64

	answered, broken atomic.Int64
	// pace is how many answers there may be before workers slow down: calls go on
	// while a killed process comes back, but the test does not run away.
	pace  atomic.Int64
	stop  atomic.Bool
	wait  sync.WaitGroup
	begun time.Time
	took  time.Duration

	mu      sync.Mutex
	answers []clientAnswer
}

// clientAnswer is a 2xx answer as the client has it.
type clientAnswer struct {
	requestID string
	// whole says that it came to its end: then its tokens are known.
	whole         bool
	input, output uint64
}

// begin starts the workers. Each has a key of an org of its own choice, and makes
// plain, streamed, failing and refused calls in turn.
func (l *killedLoad) begin(keys map[string]string) {
	l.begun = time.Now()
	client := &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: lostWorkers, MaxConnsPerHost: lostWorkers},
	}
	names := []string{"MAIN", "GLOBEX", "INITECH"}
	for w := range lostWorkers {
		l.wait.Add(1)
		go func() {
			defer l.wait.Done()
			for n := w; !l.stop.Load(); n++ {
				if l.answered.Load() > l.pace.Load() {
					time.Sleep(lostPause)
				}
				key, directives, more := keys[names[n%len(names)]], "tokens=12,chunk=4", []string{}
				switch {
				case n%97 == 0:
					key = keys["PENNILESS"]
				case n%53 == 0:
					directives = "error,status=500"
				case n%41 == 0:
					directives = "no_usage"
				case n%4 == 0:
					more = append(more, `"stream":true`, `"stream_options":{"include_usage":true}`)
				}
				l.call(client, l.gateways[n%len(l.gateways)], key, chatBody("gpt-5-mini", directives, more...))
			}
		}()
	}
}

// call makes one call. A broken connection is what kills are for: the worker goes on.
func (l *killedLoad) call(client *http.Client, g *gateway, key, body string) {
	req, err := http.NewRequest(http.MethodPost, g.url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		panic("BUG: the test's request cannot be made: " + err.Error())
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		l.broken.Add(1)
		time.Sleep(20 * time.Millisecond)
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if resp.StatusCode == http.StatusServiceUnavailable {
		time.Sleep(20 * time.Millisecond)
		return
	}
	if resp.StatusCode != http.StatusOK {
		return
	}
	a := clientAnswer{requestID: resp.Header.Get("X-Request-Id")}
	if err == nil {
		a.input, a.output, a.whole = usageOf(string(text))
	}
	l.answered.Add(1)
	l.mu.Lock()
	l.answers = append(l.answers, a)
	l.mu.Unlock()
}

// usageOf reads the tokens of an answer, plain or streamed. ok is false if it is not
// whole or does not say.
func usageOf(text string) (input, output uint64, ok bool) {
	if strings.HasPrefix(text, "data:") {
		if !strings.Contains(text, "data: [DONE]") {
			return 0, 0, false
		}
		for line := range strings.Lines(text) {
			if strings.Contains(line, `"usage":{`) {
				text = strings.TrimPrefix(line, "data:")
			}
		}
	}
	var a struct {
		Usage *struct {
			Input  uint64 `json:"prompt_tokens"`
			Output uint64 `json:"completion_tokens"`
		} `json:"usage"`
	}
	if json.Unmarshal([]byte(text), &a) != nil || a.Usage == nil {
		return 0, 0, false
	}
	return a.Usage.Input, a.Usage.Output, true
}

// reach waits until a share of the calls was answered.
func (l *killedLoad) reach(t *testing.T, share float64) {
	t.Helper()
	l.pace.Store(int64(share * float64(l.want)))
	eventually(t, 5*time.Minute, func() error {
		if have := l.answered.Load(); float64(have) < share*float64(l.want) {
			return fmt.Errorf("%d of %d calls were answered", have, l.want)
		}
		return nil
	})
}

func (l *killedLoad) finish(t *testing.T) {
	t.Helper()
	l.reach(t, 1)
	l.stop.Store(true)
	l.wait.Wait()
	l.took = time.Since(l.begun)
	if l.broken.Load() == 0 {
		t.Fatal("no connection was broken: the kills did not meet running calls")
	}
}

// wantNothingLost runs the checker over the log, ClickHouse and the clients' answers,
// until the consumers have caught up.
func (s *stack) wantNothingLost(t *testing.T, answers []clientAnswer) {
	t.Helper()
	path := filepath.Join(s.dir, "answers.jsonl")
	if err := record(path, answers); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(bin, "check"), "-brokers", s.kafkaAddr, "-clickhouse", s.env["TALLYGATE_CLICKHOUSE_URL"],
		"-record", path, "-at-rest", "-wait", "2m")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the checker finds differences: %s\n%s", err, out)
	}
	t.Logf("%s", out)
}

// record writes answers as `load -record` does.
func record(path string, answers []clientAnswer) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for _, a := range answers {
		fmt.Fprintf(w, `{"id":%q,"target":"gateway","status":200,"class":"","stream":false`, a.requestID)
		if a.whole {
			fmt.Fprintf(w, `,"input":%d,"output":%d`, a.input, a.output)
		}
		fmt.Fprintln(w, "}")
	}
	return errors.Join(w.Flush(), f.Close())
}
