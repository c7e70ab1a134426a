package bench

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate/loadtest/internal/load"
	"github.com/tallygate/tallygate/loadtest/scenario"
	"github.com/tallygate/tallygate/schemas/config"
)

// script makes a program of the given lines and a bench that finds it.
func script(t *testing.T, lines string) *bench {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "program"), []byte("#!/bin/sh\n"+lines+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	b := &bench{Config: Config{Bin: dir, Out: &strings.Builder{}}, root: dir, dir: dir}
	t.Cleanup(func() { b.stopAll() })
	return b
}

func TestProcess(t *testing.T) {
	b := script(t, `echo "time=x level=INFO msg=ready addr=127.0.0.1:$1 data=y"; exec sleep 60`)
	p, err := b.start(nil, nil, "program", "1234")
	if err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	if addr, err := p.address(context.Background()); err != nil || addr != "127.0.0.1:1234" {
		t.Fatalf("unexpected address; got %q, %v; want 127.0.0.1:1234", addr, err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	if err := p.answers(context.Background(), srv.URL); err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	// sleep ends by SIGTERM.
	if err := b.stopAll(); err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	select {
	case <-p.done:
	default:
		t.Fatal("the process has not ended")
	}
}

func TestProcessFailure(t *testing.T) {
	b := script(t, `echo "cannot find my configuration" >&2; exit 1`)
	p, err := b.start(nil, nil, "program")
	if err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	_, err = p.address(context.Background())
	if err == nil || !strings.Contains(err.Error(), "program ended at once (exit status 1)") || !strings.Contains(err.Error(), "cannot find my configuration") {
		t.Fatalf("unexpected error of a program that fails: %v", err)
	}
	if err := b.stopAll(); err == nil || !strings.Contains(err.Error(), "ended by itself") {
		t.Fatalf("unexpected error of stopping a program that has ended: %v", err)
	}
	if _, err := b.start(nil, nil, "nothing"); err == nil || !strings.Contains(err.Error(), "make build") {
		t.Fatalf("unexpected error for a program that is not there: %v", err)
	}
}

func TestProcessThatIsNeverReady(t *testing.T) {
	b := script(t, "exec sleep 60")
	p, err := b.start(nil, nil, "program")
	if err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := p.address(ctx); err == nil || !strings.Contains(err.Error(), "is not ready") {
		t.Fatalf("unexpected error: %v", err)
	}
}

// TestGatewayConfig reads the configuration as the gateway will.
func TestGatewayConfig(t *testing.T) {
	text := fmt.Sprintf(gatewayConfig, "127.0.0.1:1", "127.0.0.1:2", `"/tmp/x y"`, "127.0.0.1:3", "127.0.0.1:4")
	c, err := config.Parse("gateway.yaml", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatalf("unexpected mistakes: %s", err)
	}
	if got := c.Policy.Orgs[0].Teams[0].Apps[0].Keys[0]; len(got.Limits) != 2 || len(got.Budgets) != 1 {
		t.Fatalf("unexpected rules of the key: %+v", got)
	}
}

// TestPhases checks that each phase has its scenario, and that all together are quick.
func TestPhases(t *testing.T) {
	total := time.Duration(0)
	for _, p := range phases {
		text, err := scenario.Files.ReadFile(p.scenario + ".yaml")
		if err != nil {
			t.Fatalf("unexpected error: %s", err)
		}
		s, err := load.ParseScenario(p.scenario, text)
		if err != nil {
			t.Fatalf("unexpected error: %s", err)
		}
		total += time.Duration(s.Rounds*len(p.targets)) * (s.Duration + s.Warmup)
	}
	if total > 100*time.Second {
		t.Fatalf("the measurements take %s; want at most 100s", total)
	}
}
