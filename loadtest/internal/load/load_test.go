package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallygate/tallygate/loadtest/internal/simulator"
)

// startSimulator runs a simulator until the test ends.
func startSimulator(t *testing.T) (string, *simulator.Server) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("cannot listen: %s", err)
	}
	s := simulator.New(simulator.Config{Behaviour: simulator.DefaultBehaviour(), Seed: 1})
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Shutdown(ctx)
		<-done
	})
	return "http://" + ln.Addr().String(), s
}

// quick is a scenario of one short measurement.
func quick(url string) Scenario {
	s := Default()
	s.Name, s.Warmup, s.Rounds, s.Duration, s.Connections = "test", 0, 1, 5*time.Second, 4
	s.Targets = []Target{{Name: "one", URL: url}}
	return s
}

func run(t *testing.T, s Scenario, record *Recorder) Round {
	t.Helper()
	if err := s.Validate(); err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	report, err := Run(context.Background(), &s, Options{Record: record})
	if err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	return report.Targets[0].Rounds[0]
}

// TestNoCoordinatedOmission stops the target for a while. In a fixed-rate run
// every call that was due meanwhile must be seen to have waited, not only those
// few that were under way.
func TestNoCoordinatedOmission(t *testing.T) {
	const stall = 400 * time.Millisecond
	var once sync.Once
	var gate sync.RWMutex
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		once.Do(func() {
			gate.Lock()
			time.AfterFunc(stall, gate.Unlock)
		})
		gate.RLock()
		defer gate.RUnlock()
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"usage":{"prompt_tokens":1,"completion_tokens":1}}`)
	}))
	defer upstream.Close()
	s := quick(upstream.URL)
	s.Rate, s.Connections, s.Calls = 200, 2, 200 // one second
	got := run(t, s, nil)
	if got.OK != 200 {
		t.Fatalf("unexpected calls that went well; got %d; want 200; failed: %v", got.OK, got.Failed)
	}
	// 80 of 200 calls were due during the stall, evenly spread over it: the 90th
	// percentile is one that had to wait for about half of it.
	if got.P90Us < 100_000 || got.MaxUs < 390_000 {
		t.Fatalf("the stall is hidden: p90 %.0f µs, max %.0f µs", got.P90Us, got.MaxUs)
	}
	if got.LagP99Us < 100_000 {
		t.Fatalf("unexpected lag of calls for which no connection was free; got %.0f µs at p99", got.LagP99Us)
	}
	// The control: a closed loop sees it in two calls only.
	once = sync.Once{}
	s.Mode = Closed
	if got := run(t, s, nil); got.P90Us > 100_000 {
		t.Fatalf("a closed loop is expected to hide the stall; got p90 %.0f µs", got.P90Us)
	}
}

func TestOpenLoopKeepsTheRate(t *testing.T) {
	url, _ := startSimulator(t)
	s := quick(url)
	s.Rate, s.Duration = 400, 500*time.Millisecond
	got := run(t, s, nil)
	if got.Calls != 200 || got.OK != 200 {
		t.Fatalf("unexpected calls in half a second at 400/s; got %d, %d well; want 200; failed: %v", got.Calls, got.OK, got.Failed)
	}
	if got.CPUUs <= 0 || got.RSSMiB <= 0 {
		t.Fatalf("the target's processor time or memory was not measured: %+v", got)
	}
}

// TestRecordAgreesWithTheTarget compares what the generator recorded with what
// the simulator says it answered.
func TestRecordAgreesWithTheTarget(t *testing.T) {
	for _, mode := range []string{Open, Closed} {
		url, sim := startSimulator(t)
		file := filepath.Join(t.TempDir(), "answers.jsonl")
		record, err := NewRecorder(file)
		if err != nil {
			t.Fatal(err)
		}
		s := quick(url)
		s.Mode, s.Calls, s.StreamShare, s.Rate = mode, 300, 0.3, 2000
		got := run(t, s, record)
		if err := record.Close(); err != nil {
			t.Fatal(err)
		}
		if got.OK != 300 {
			t.Fatalf("%s: unexpected calls that went well; got %d; want 300; failed: %v", mode, got.OK, got.Failed)
		}
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		lines, streams, input, output := 0, 0, int64(0), int64(0)
		ids := map[string]bool{}
		for in := bufio.NewScanner(f); in.Scan(); lines++ {
			var line struct {
				ID            string
				Stream        bool
				Input, Output int64
			}
			if err := json.Unmarshal(in.Bytes(), &line); err != nil {
				t.Fatalf("a line is not JSON: %s: %s", err, in.Bytes())
			}
			ids[line.ID] = true
			input, output = input+line.Input, output+line.Output
			if line.Stream {
				streams++
			}
		}
		want := sim.Stats()
		if lines != 300 || len(ids) != 300 || streams != 90 || input != want.InputTokens || output != want.OutputTokens || want.Requests != 300 {
			t.Fatalf("%s: recorded %d lines, %d ids, %d streams, %d input and %d output tokens; the simulator says %+v",
				mode, lines, len(ids), streams, input, output, want)
		}
	}
}

func TestFailuresAreCounted(t *testing.T) {
	url, _ := startSimulator(t)
	f := func(directives string, streams float64, class string) {
		t.Helper()
		for _, mode := range []string{Open, Closed} {
			s := quick(url)
			s.Mode, s.Calls, s.Rate, s.Directives, s.StreamShare = mode, 8, 1000, directives, streams
			s.Timeout, s.OutputTokens = 200*time.Millisecond, 9
			got := run(t, s, nil)
			if got.Calls != 8 || got.Failed[class] != 8 || len(got.Failed) != 1 {
				t.Fatalf("unexpected failures with %q in a %s loop; got %v of %d calls; want 8 of %q", directives, mode, got.Failed, got.Calls, class)
			}
		}
	}
	f("error,status=503", 0, "status_503")
	f("error,status=429", 1, "status_429")
	f("cut", 0, "cut")
	f("cut", 1, "cut")
	f("drop", 0, "closed")
	f("hang", 0, "timeout")
	f("stall", 1, "timeout")
	f("break", 1, "error_event")
	f("garbage", 0, "not_json")
	f("html", 1, "wrong_type")
	f("no_usage", 0, "no_usage")
	f("no_usage,tokens=9", 1, "no_usage")
	f("tokens=8", 0, "wrong_tokens")
}

func TestTargetAway(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + ln.Addr().String()
	ln.Close()
	for _, mode := range []string{Open, Closed} {
		s := quick(url)
		s.Mode, s.Calls, s.Targets[0].PID = mode, 10, -1
		if got := run(t, s, nil); got.Failed["connect"] != 10 {
			t.Fatalf("unexpected failures in a %s loop; got %v; want 10 of connect", mode, got.Failed)
		}
	}
	s := quick(url)
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(context.Background(), &s, Options{}); err == nil || !strings.Contains(err.Error(), "nobody listens") {
		t.Fatalf("unexpected error for a target that is not there: %v", err)
	}
}

// TestTargetDies goes on when the target's process is gone: tests kill gateways under load.
func TestTargetDies(t *testing.T) {
	url, _ := startSimulator(t)
	victim := exec.Command("sleep", "60")
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	s := quick(url)
	s.Duration, s.Rate, s.Targets[0].PID = 300*time.Millisecond, 100, victim.Process.Pid
	time.AfterFunc(100*time.Millisecond, func() {
		victim.Process.Kill()
		victim.Wait()
	})
	got := run(t, s, nil)
	if runtime.GOOS == "linux" && (got.OK != 30 || got.CPUUs != 0) {
		t.Fatalf("unexpected measurement of a target that died: %+v", got)
	}
}

// TestNoConnectionFree checks that a run ends in time when the target never answers.
func TestNoConnectionFree(t *testing.T) {
	url, _ := startSimulator(t)
	s := quick(url)
	s.Rate, s.Duration, s.Connections, s.Timeout, s.Directives = 100, 200*time.Millisecond, 1, 300*time.Millisecond, "hang"
	begin := time.Now()
	got := run(t, s, nil)
	if took := time.Since(begin); took > 3*time.Second {
		t.Fatalf("the run took %s", took)
	}
	if got.Calls != 20 || got.Failed["timeout"] < 1 || got.Failed["unsent"] < 10 {
		t.Fatalf("unexpected failures; got %v of %d calls", got.Failed, got.Calls)
	}
}

func TestReport(t *testing.T) {
	r := Report{Scenario: "x", Baseline: "bare", Targets: []TargetReport{
		{Name: "bare", Rounds: []Round{{CPUUs: 10, P50Us: 100}, {CPUUs: 20, P50Us: 100}, {CPUUs: 10, P50Us: 130}}},
		{Name: "gateway", Rounds: []Round{{CPUUs: 30, P50Us: 150}, {CPUUs: 40, P50Us: 160}, {CPUUs: 20, P50Us: 190, Failed: map[string]int64{"cut": 2}, Calls: 5}}},
	}}
	r.summarize()
	g := r.Targets[1]
	if want := (Spread{2, 2, 3}); g.TimesBaseline != want {
		t.Fatalf("unexpected multiple of the baseline; got %+v; want %+v", g.TimesBaseline, want)
	}
	if want := (Spread{60, 50, 60}); g.AddedP50Us != want {
		t.Fatalf("unexpected added latency; got %+v; want %+v", g.AddedP50Us, want)
	}
	var table bytes.Buffer
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"× bare", "30.0 (20.0–40.0)", "2.00 (2.00–3.00)", "60 (50–60)", "cut 2"} {
		if !strings.Contains(table.String(), want) {
			t.Fatalf("the table does not hold %q:\n%s", want, table.String())
		}
	}
	if err := r.Strict(); err == nil {
		t.Fatal("no error although calls failed")
	}
}

func TestHistogram(t *testing.T) {
	h := newHistogram()
	for i := range 1000 {
		record(h, time.Duration(i+1)*time.Millisecond)
	}
	record(h, time.Hour)
	record(h, -time.Second)
	f := func(percent float64, want time.Duration) {
		t.Helper()
		if got := quantile(h, percent); got < want*999/1000 || got > want*1002/1000 {
			t.Fatalf("unexpected %g-th percentile; got %s; want %s within 0.2 %%", percent, got, want)
		}
	}
	f(50, 500*time.Millisecond)
	f(99, 991*time.Millisecond)
	f(100, histogramMax)
	if n := h.TotalCount(); n != 1002 {
		t.Fatalf("unexpected count; got %d; want 1002", n)
	}
}
