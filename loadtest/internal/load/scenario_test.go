package load

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestScenarioFiles checks every scenario that is in the repository.
func TestScenarioFiles(t *testing.T) {
	files, err := filepath.Glob("../../scenario/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("cannot find the scenarios: %v", err)
	}
	for _, file := range files {
		s, err := LoadScenario(file)
		if err != nil {
			t.Fatalf("unexpected error: %s", err)
		}
		if want := strings.TrimSuffix(filepath.Base(file), ".yaml"); s.Name != want {
			t.Fatalf("unexpected name of the scenario %q; got %q; want %q", file, s.Name, want)
		}
		s.Targets = []Target{{Name: "x", URL: "http://127.0.0.1:1"}}
		s.Baseline = ""
		if err := s.Validate(); err != nil {
			t.Fatalf("unexpected error for %q: %s", file, err)
		}
	}
}

func TestValidateFailure(t *testing.T) {
	f := func(change func(*Scenario), want ...string) {
		t.Helper()
		s := Default()
		s.Targets = []Target{{Name: "x", URL: "http://127.0.0.1:1"}}
		change(&s)
		err := s.Validate()
		if err == nil {
			t.Fatalf("no error; want %q", want)
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Fatalf("unexpected error; got %q; want it to hold %q", err, w)
			}
		}
	}
	f(func(s *Scenario) { s.Mode, s.Rate, s.StreamShare = "fast", 0, 2 }, `mode: must be "open"`, "rate: must be from", "stream_share")
	f(func(s *Scenario) { s.Duration, s.Rounds = time.Hour, 2 }, "the whole run would take 2h")
	f(func(s *Scenario) { s.Targets = nil }, "name at least one")
	f(func(s *Scenario) { s.Targets = append(s.Targets, s.Targets[0]) }, "unique")
	f(func(s *Scenario) { s.Targets[0].URL = "http://192.0.2.1:80/" }, "is not on this machine (192.0.2.1)", "-allow-remote")
	f(func(s *Scenario) { s.Targets[0].URL = "https://127.0.0.1" }, "must be http://host:port/path")
	f(func(s *Scenario) { s.Targets[0].Key = "env:NO_SUCH_VARIABLE_HERE" }, "NO_SUCH_VARIABLE_HERE is not set")
	f(func(s *Scenario) { s.Baseline = "y" }, `there is no target "y"`)
	s := Default()
	s.Targets, s.AllowRemote = []Target{{Name: "x", URL: "http://192.0.2.1:80/"}}, true
	if err := s.Validate(); err != nil {
		t.Fatalf("unexpected error for a remote target that is allowed: %s", err)
	}
}

func TestLoadScenarioFailure(t *testing.T) {
	file := filepath.Join(t.TempDir(), "wrong.yaml")
	if err := os.WriteFile(file, []byte("name: x\nspeed: 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadScenario(file); err == nil || !strings.Contains(err.Error(), "speed") || !strings.Contains(err.Error(), "line 2") {
		t.Fatalf("unexpected error for an unknown field: %v", err)
	}
	if _, err := LoadScenario(file + "x"); err == nil {
		t.Fatal("no error for a file that does not exist")
	}
}

func TestRequestBodies(t *testing.T) {
	s := Default()
	s.StreamShare, s.Directives, s.MaxTokens = 0.25, "tokens=9", 100
	for _, stream := range []bool{false, true} {
		one, other := body(&s, 1, stream), body(&s, 2, stream)
		if len(one) != s.BodyBytes || len(other) != s.BodyBytes || string(one) == string(other) {
			t.Fatalf("unexpected bodies; got %d and %d bytes; want %d: %s", len(one), len(other), s.BodyBytes, one)
		}
		var parsed struct {
			Model  string
			User   string
			Stream bool
		}
		if err := json.Unmarshal(one, &parsed); err != nil || parsed.Stream != stream || parsed.User != "sim:tokens=9" || parsed.Model != s.Model {
			t.Fatalf("unexpected body, %v: %s", err, one)
		}
	}
	r := newRequests(&s, &Target{}, destination{})
	streams := 0
	for n := range int64(1000) {
		if _, stream := r.at(n); stream {
			streams++
		}
	}
	if streams != 250 {
		t.Fatalf("unexpected number of streams of 1000 calls; got %d; want 250", streams)
	}
}
