package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tallygate/tallygate/loadtest/internal/load"
)

// TestFlagsGoBeforeTheScenario names the scenario after flags that change it.
func TestFlagsGoBeforeTheScenario(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.yaml")
	text := "name: x\nrate: 7\nrounds: 2\nduration: 9s\ntargets: [{name: a, url: 'http://127.0.0.1:1'}, {name: b, url: 'http://127.0.0.1:2', key: own}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, scenario := range [][]string{{"-scenario", file}, {"--scenario=" + file}} {
		s, out, err := parse(append([]string{"-rate", "9", "-key", "shared", "-pin", "1,2", "-strict", "-record", "r"}, scenario...))
		if err != nil {
			t.Fatalf("unexpected error: %s", err)
		}
		if s.Rate != 9 || s.Rounds != 2 || s.Duration != 9*time.Second || !slices.Equal(s.Pin, []int{1, 2}) || !out.strict || out.record != "r" {
			t.Fatalf("unexpected scenario: %+v %+v", s, out)
		}
		if s.Targets[0].Key != "shared" || s.Targets[1].Key != "own" {
			t.Fatalf("unexpected keys of the targets: %+v", s.Targets)
		}
	}
	s, _, err := parse([]string{"-scenario", file, "-target", "c=http://127.0.0.1:3,key=k,pid=4"})
	if err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	if want := []load.Target{{Name: "c", URL: "http://127.0.0.1:3", Key: "k", PID: 4}}; !slices.Equal(s.Targets, want) {
		t.Fatalf("unexpected targets; got %+v; want %+v", s.Targets, want)
	}
	if _, _, err := parse([]string{"-scenario", file + "x"}); err == nil {
		t.Fatal("no error for a scenario that does not exist")
	}
	if _, _, err := parse([]string{"bench"}); err == nil {
		t.Fatal("no error for an argument that means nothing")
	}
}

func TestParseTargetFailure(t *testing.T) {
	for _, text := range []string{"", "http://127.0.0.1:1", "=http://127.0.0.1:1", "a=http://127.0.0.1:1,pid=x", "a=http://127.0.0.1:1,speed=9"} {
		if target, err := parseTarget(text); err == nil {
			t.Fatalf("no error for %q; got %+v", text, target)
		}
	}
}
