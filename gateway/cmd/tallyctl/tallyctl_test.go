package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate/gateway/internal/spool"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/key"
)

func run(args ...string) (string, error) {
	cmd := root()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.Execute()
	return out.String(), err
}

func TestKeyNew(t *testing.T) {
	first, err := run("key", "new")
	if err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	if err := key.Check([]byte(strings.TrimSpace(first))); err != nil {
		t.Fatalf("unexpected key %q: %s", first, err)
	}
	if second, _ := run("key", "new"); second == first {
		t.Fatalf("two keys are the same")
	}
}

func TestUsageErrors(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		if _, err := run(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("unexpected error of %q; got %v; want one with %q", args, err, want)
		}
	}
	f("unknown command", "keys")
	f("accepts 1 arg(s)", "spool", "inspect")
	f("there is no spool in", "spool", "inspect", t.TempDir())
	f("unknown command", "key", "new", "extra")
}

// dataFolder has a spool with one finished call and one that is open.
func dataFolder(t *testing.T) (dir string, sp *spool.Spool, open event.ID) {
	t.Helper()
	dir = t.TempDir()
	sp, err := spool.Open(spool.Options{Dir: filepath.Join(dir, "spool"), Role: "gateway", Replica: "r1", Version: "v1",
		QuotaBytes: 16 << 20, SegmentBytes: 1 << 20, Sync: spool.SyncNever, Partitions: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sp.Close(context.Background()) })
	write := func(env *event.Envelope) {
		id := event.NewID(time.Now())
		env.Id, env.Spool, env.Partition, env.Org, env.OccurredAt = id[:], sp.ID(), 1, "acme", time.Now().UnixNano()
		body, err := env.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		if err := sp.Append(&spool.Entry{Partition: 1, Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	admit := func() event.ID {
		id := event.NewID(time.Now())
		facts := &event.Facts{RequestId: id[:], Key: "k1", Model: "gpt-5-mini"}
		write(&event.Envelope{Body: &event.Envelope_Admitted{Admitted: &event.Admitted{Facts: facts}}})
		return id
	}
	done := admit()
	write(&event.Envelope{Body: &event.Envelope_Completed{Completed: &event.Completed{Facts: &event.Facts{RequestId: done[:]}}}})
	return dir, sp, admit()
}

func TestSpoolInspect(t *testing.T) {
	dir, sp, open := dataFolder(t)
	want := []string{
		`gateway "r1", version v1`, "4 records", "open requests  1", "admitted       2", "completed      1", "spool_opened   1",
		"1-4", open.String(), "acme  k1   gpt-5-mini",
	}
	for _, d := range []string{dir, filepath.Join(dir, "spool"), sp.Dir()} {
		out, err := run("spool", "inspect", d)
		if err != nil {
			t.Fatalf("unexpected error for %q: %s", d, err)
		}
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Fatalf("the answer for %q lacks %q:\n%s", d, w, out)
			}
		}
	}
}

func TestSpoolInspectDamaged(t *testing.T) {
	_, sp, _ := dataFolder(t)
	path := filepath.Join(sp.Dir(), "00000000000000000001.log")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[250] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := run("spool", "inspect", sp.Dir())
	if err == nil || !strings.Contains(out, "problem") || !strings.Contains(out, path) {
		t.Fatalf("damage is not told; got error %v and:\n%s", err, out)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(after, data) {
		t.Fatalf("inspecting has changed the file, error %v", err)
	}
}
