package stack

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallygate/tallygate/deploy/local/internal/engine"

	"github.com/tallygate/tallygate/schemas/freeport"
)

// newSettings makes a stack of fake programs with addresses and data of its own.
func newSettings(t *testing.T) (s Settings, stops string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for _, name := range []string{"kafkalocal", "chlocal", "simulator", "consumers", "gateway"} {
		if err := os.Symlink(self, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	stops = filepath.Join(folder, "stops")
	t.Setenv(fakeVariable, stops)
	t.Setenv("TALLYGATE_CACHE", folder)
	library, err := engine.Path()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(library), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(library, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s = Settings{Data: filepath.Join(folder, "data"), Config: "unused", Bin: folder}
	for _, addr := range []*string{&s.Addr, &s.AdminAddr, &s.ConsumersAddr, &s.KafkaAddr, &s.ClickHouseAddr, &s.SimulatorAddr} {
		*addr = freeAddr(t)
	}
	return s, stops
}

func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := freeport.Addr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// running is a stack in this process.
type running struct {
	out, log buffer
	end      chan error
	stop     context.CancelFunc
}

func run(s Settings) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{end: make(chan error, 1), stop: cancel}
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		r.end <- Run(ctx, s, &r.out, &r.log)
	}()
	return r
}

func (r *running) waitReady(t *testing.T, s Settings) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(s.Data, "dev.env")); err == nil && strings.Contains(r.out.String(), "Ctrl-C") {
			return
		}
		select {
		case err := <-r.end:
			t.Fatalf("the stack ended: %v\n%s", err, r.log.String())
		default:
		}
		if time.Now().After(deadline) {
			r.stop()
			t.Fatalf("the stack is not ready: %s", r.log.String())
		}
	}
}

func TestStack(t *testing.T) {
	s, stops := newSettings(t)
	r := run(s)
	r.waitReady(t, s)
	first, err := os.ReadFile(filepath.Join(s.Data, "dev.env"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"dev.env", "secrets.env"} {
		info, err := os.Stat(filepath.Join(s.Data, file))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("unexpected mode of %s: %v, %v; want 0600", file, info.Mode(), err)
		}
	}
	if strings.Contains(string(first), "PEPPER") {
		t.Fatalf("dev.env holds the pepper, which is for the gateway alone")
	}
	key := valueOf(t, string(first), "TALLYGATE_API_KEY")
	for _, want := range []string{"curl -s http://" + s.Addr + "/v1/chat/completions", "Bearer " + key, "Python", "Node", "the simulator at"} {
		if !strings.Contains(r.out.String(), want) {
			t.Fatalf("the welcome does not have %q:\n%s", want, r.out.String())
		}
	}

	second := run(s)
	if err := <-second.end; err == nil || !strings.Contains(err.Error(), "in use by process") {
		t.Fatalf("unexpected end of a second stack over the same data: %v", err)
	}
	taken, _ := newSettings(t)
	taken.ClickHouseAddr = s.ClickHouseAddr
	if err := <-run(taken).end; err == nil || !strings.Contains(err.Error(), "address already in use; stop the other process or set TALLYGATE_CLICKHOUSE_ADDR") {
		t.Fatalf("unexpected end of a stack whose port is taken: %v", err)
	}

	r.stop()
	if err := <-r.end; err != nil {
		t.Fatalf("unexpected error after Ctrl-C: %v", err)
	}
	order, err := os.ReadFile(stops)
	if err != nil || string(order) != "gateway\nconsumers\nsimulator\nchlocal\nkafkalocal\n" {
		t.Fatalf("unexpected order of stops: %q, %v", order, err)
	}

	t.Setenv(fakeVariable, stops)
	again := run(s)
	again.waitReady(t, s)
	later, err := os.ReadFile(filepath.Join(s.Data, "dev.env"))
	if err != nil || !bytes.Equal(first, later) {
		t.Fatalf("dev.env changed with a second start: %v", err)
	}
	again.stop()
	if err := <-again.end; err != nil {
		t.Fatal(err)
	}
}

func TestDeadProgramStopsTheStack(t *testing.T) {
	s, stops := newSettings(t)
	t.Setenv(dieVariable, "consumers")
	err := <-run(s).end
	if err == nil {
		t.Fatal("unexpected success")
	}
	for _, want := range []string{"consumers ended by itself (exit status 3)", "consumers | the disk is on fire"} {
		if !strings.Contains(err.Error(), want) {
			t.Fatalf("unexpected error; got %v; want it to contain %q", err, want)
		}
	}
	order, err := os.ReadFile(stops)
	if err != nil || !strings.HasSuffix(string(order), "simulator\nchlocal\nkafkalocal\n") {
		t.Fatalf("unexpected order of stops: %q, %v", order, err)
	}
}

func TestMissingProgram(t *testing.T) {
	s, _ := newSettings(t)
	if err := os.Remove(filepath.Join(s.Bin, "gateway")); err != nil {
		t.Fatal(err)
	}
	if err := <-run(s).end; err == nil || !strings.Contains(err.Error(), "build it with: make build") {
		t.Fatalf("unexpected end without a gateway: %v", err)
	}
}

func TestSettings(t *testing.T) {
	config := filepath.Join(t.TempDir(), "tallygate.yaml")
	if err := os.WriteFile(config, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	f := func(want string, env ...string) {
		t.Helper()
		t.Run(want, func(t *testing.T) {
			t.Setenv("TALLYGATE_CONFIG", config)
			for i := 0; i < len(env); i += 2 {
				t.Setenv(env[i], env[i+1])
			}
			if _, err := FromEnvironment(); err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("unexpected error; got %v; want one with %q", err, want)
			}
		})
	}
	f(`TALLYGATE_ADDR="8080": it must be host:port`, "TALLYGATE_ADDR", "8080")
	f(`TALLYGATE_KAFKA_ADDR="127.0.0.1:0": it must be host:port, with a port of its own`, "TALLYGATE_KAFKA_ADDR", "127.0.0.1:0")
	f("has the same address", "TALLYGATE_ADDR", "127.0.0.1:8081")
	f("name the file in TALLYGATE_CONFIG", "TALLYGATE_CONFIG", "/nowhere/tallygate.yaml")
	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	if err := os.WriteFile(wrong, []byte("spool:\n  quota_bytes: 0\nkafka:\n  partitions: -1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f("wrong.yaml:2: spool.quota_bytes: ", "TALLYGATE_CONFIG", wrong)
	f("wrong.yaml:4: kafka.partitions: ", "TALLYGATE_CONFIG", wrong)
	t.Run("the repository's own", func(t *testing.T) {
		t.Setenv("TALLYGATE_CONFIG", "../../tallygate.yaml")
		if _, err := FromEnvironment(); err != nil {
			t.Fatalf("deploy/local/tallygate.yaml is wrong: %v", err)
		}
	})
}

// What the environment names is used in place of the embedded parts.
func TestEnvironmentOfPrograms(t *testing.T) {
	f := func(s Settings, want map[string]string, listeners int) {
		t.Helper()
		env := strings.Join(s.environment(Secrets{"TALLYGATE_API_KEY": "made"}), "\n")
		for name, value := range want {
			if got := valueOf(t, env, name); got != value {
				t.Fatalf("unexpected %s; got %q; want %q", name, got, value)
			}
		}
		if got := len(s.listeners()); got != listeners {
			t.Fatalf("unexpected number of own addresses; got %d; want %d", got, listeners)
		}
	}
	t.Setenv("OPENAI_API_KEY", "sk-mine")
	t.Setenv("TALLYGATE_API_KEY", "of another stack")
	local := Settings{Data: "/data", KafkaAddr: "0.0.0.0:1", ClickHouseAddr: ":2", SimulatorAddr: "127.0.0.1:3"}
	f(local, map[string]string{
		"TALLYGATE_DATA": "/data/gateway", "TALLYGATE_KAFKA_BROKERS": "127.0.0.1:1",
		"TALLYGATE_CLICKHOUSE_URL": "http://127.0.0.1:2/tallygate", providerURLVariable: "http://127.0.0.1:3/v1",
		"OPENAI_API_KEY": simulatorKey, "TALLYGATE_API_KEY": "made",
	}, 6)
	real := local
	real.ProviderKey, real.Brokers, real.ClickHouseURL = "sk-mine", "kafka:9092", "http://u:p@ch:8123/db"
	f(real, map[string]string{
		"TALLYGATE_KAFKA_BROKERS": "kafka:9092", "TALLYGATE_CLICKHOUSE_URL": "http://u:p@ch:8123/db", "OPENAI_API_KEY": "sk-mine",
	}, 3)
	if strings.Contains(real.clickHouseText(), ":p@") {
		t.Fatalf("the text for people has the password: %s", real.clickHouseText())
	}
}

// valueOf returns the only value of a variable among lines of NAME=VALUE.
func valueOf(t *testing.T, env, name string) string {
	t.Helper()
	var values []string
	for line := range strings.Lines(env) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			values = append(values, v)
		}
	}
	if len(values) != 1 {
		t.Fatalf("unexpected values of %s: %q; want one", name, values)
	}
	return values[0]
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
