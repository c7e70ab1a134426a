//go:build system

package system

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMakeRun does what the README says: it starts the stack as `make run` does, runs
// the curl that is printed, the demo, and every SQL query and curl of the
// documentation; Ctrl-C stops everything, and a second start goes on over the same data.
func TestMakeRun(t *testing.T) {
	s := newLocalStack(t)
	s.start(t)

	t.Run("printed curl", func(t *testing.T) {
		command := lastCommand(s.output(), "curl ")
		if command == "" {
			t.Fatalf("the stack printed no curl:\n%s", s.output())
		}
		if out := s.shell(t, command); !strings.Contains(out, `"chat.completion"`) {
			t.Fatalf("unexpected answer of the printed curl; got %s", out)
		}
	})
	t.Run("demo", func(t *testing.T) {
		out := s.shell(t, "loadtest/demo/run.sh")
		for _, want := range []string{"RateLimitError", "insufficient_quota", "audit_nanos"} {
			if !strings.Contains(out, want) {
				t.Fatalf("the demo does not show %q:\n%s", want, out)
			}
		}
	})
	pages := []string{"README.md"}
	more, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range more {
		pages = append(pages, filepath.Join("docs", filepath.Base(path)))
	}
	queries := 0
	for _, page := range pages {
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		for i, query := range blocks(text, "sql") {
			queries++
			t.Run(fmt.Sprintf("%s query %d", page, i+1), func(t *testing.T) {
				out := s.sql(t, query)
				if strings.TrimSpace(out) == "" {
					t.Fatalf("the query gives no row:\n%s", query)
				}
				// Columns that compare sums say 1 where they agree.
				if strings.Contains(query, "AS equal") && !strings.HasSuffix(strings.TrimSpace(out), "1") {
					t.Fatalf("the sums are not equal: %s", out)
				}
			})
		}
		for i, script := range blocks(text, "bash") {
			t.Run(fmt.Sprintf("%s script %d", page, i+1), func(t *testing.T) {
				if out := s.shell(t, s.here(script)); strings.TrimSpace(out) == "" {
					t.Fatalf("the script prints nothing:\n%s", script)
				}
			})
		}
	}
	if queries < 15 {
		t.Fatalf("unexpected number of queries in the documentation; got %d; want at least 15", queries)
	}

	before := s.sql(t, "SELECT count() FROM requests FINAL")
	s.interrupt(t)
	s.start(t)
	if out := s.shell(t, lastCommand(s.output(), "curl ")); !strings.Contains(out, `"chat.completion"`) {
		t.Fatalf("unexpected answer after the second start; got %s", out)
	}
	if after := s.sql(t, "SELECT count() FROM requests FINAL"); len(after) < len(before) {
		t.Fatalf("rows are gone after the second start: before %s, after %s", before, after)
	}

	t.Run("second start over data in use", func(t *testing.T) {
		other := s.again(t)
		other.begin(t)
		if code, out := other.wait(t); code == 0 || !strings.Contains(out, "use") {
			t.Fatalf("unexpected end of a second stack over the same data; got code %d:\n%s", code, out)
		}
	})
	s.interrupt(t)
}

// localStack is bin/stack with addresses and data of its own.
type localStack struct {
	*process
	data  string
	addrs map[string]string
}

// defaultAddrs are those that the documentation names.
var defaultAddrs = map[string]string{
	"TALLYGATE_ADDR":            "127.0.0.1:8080",
	"TALLYGATE_ADMIN_ADDR":      "127.0.0.1:8081",
	"TALLYGATE_CONSUMERS_ADDR":  "127.0.0.1:8082",
	"TALLYGATE_KAFKA_ADDR":      "127.0.0.1:9092",
	"TALLYGATE_CLICKHOUSE_ADDR": "127.0.0.1:8123",
	"TALLYGATE_SIMULATOR_ADDR":  "127.0.0.1:8090",
}

func newLocalStack(t *testing.T) *localStack {
	t.Helper()
	dir := makeDir(t)
	s := &localStack{data: filepath.Join(dir, "data"), addrs: map[string]string{}}
	for name := range defaultAddrs {
		s.addrs[name] = freeAddr(t)
	}
	s.process = s.newProcess(t, "stack", dir)
	return s
}

func (s *localStack) newProcess(t *testing.T, name, dir string) *process {
	p := &process{name: name, path: filepath.Join(bin, "stack"), logPath: filepath.Join(dir, name+".log"), dir: root}
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "TALLYGATE_") && !strings.HasPrefix(kv, "OPENAI_") || strings.HasPrefix(kv, "TALLYGATE_CACHE=") {
			p.env = append(p.env, kv)
		}
	}
	p.env = append(p.env, "TALLYGATE_DATA="+s.data)
	for name, addr := range s.addrs {
		p.env = append(p.env, name+"="+addr)
	}
	p.ready = func() error {
		if _, err := os.Stat(filepath.Join(s.data, "dev.env")); err != nil {
			return err
		}
		return answers200("http://" + s.addrs["TALLYGATE_ADMIN_ADDR"] + "/readyz")()
	}
	t.Cleanup(p.cleanUp)
	return p
}

// again makes a second stack over the same data, with other addresses.
func (s *localStack) again(t *testing.T) *process {
	t.Helper()
	other := &localStack{data: s.data, addrs: map[string]string{}}
	for name := range defaultAddrs {
		other.addrs[name] = freeAddr(t)
	}
	return other.newProcess(t, "stack-again", filepath.Dir(s.logPath))
}

// output is what the stack printed in all its lives.
func (s *localStack) output() string {
	text, err := os.ReadFile(s.logPath)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// interrupt sends what Ctrl-C sends and wants everything to end.
func (s *localStack) interrupt(t *testing.T) {
	t.Helper()
	_ = s.cmd.Process.Signal(syscall.SIGINT)
	code, out := s.wait(t)
	if code != 0 {
		t.Fatalf("unexpected exit code after Ctrl-C; got %d; want 0\n%s", code, out)
	}
	for name, addr := range s.addrs {
		if conn, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
			conn.Close()
			t.Fatalf("something listens on %s %s after Ctrl-C", name, addr)
		}
	}
}

// shell runs a script in the repository with the stack's addresses.
func (s *localStack) shell(t *testing.T, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = root, s.env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the script failed: %s\n%s\n%s%s", err, script, out, stderr.Bytes())
	}
	return string(out)
}

// sql runs a query of the documentation.
func (s *localStack) sql(t *testing.T, query string) string {
	t.Helper()
	here := stack{t: t, clickhouseAddr: s.addrs["TALLYGATE_CLICKHOUSE_ADDR"]}
	rows, err := here.queryIn("tallygate", query)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, r := range rows {
		out.WriteString(strings.Join(r, "\t") + "\n")
	}
	return out.String()
}

// here turns the documentation's addresses and data folder into those of this stack.
func (s *localStack) here(script string) string {
	for name, addr := range defaultAddrs {
		script = strings.ReplaceAll(script, addr, s.addrs[name])
	}
	return strings.ReplaceAll(script, "./.local", s.data) + "\n"
}

var blockRE = regexp.MustCompile("(?s)```(\\w+)\n(.*?)```")

// blocks returns the code blocks of a language in a Markdown page.
func blocks(page []byte, language string) []string {
	var out []string
	for _, m := range blockRE.FindAllSubmatch(page, -1) {
		if string(m[1]) == language {
			out = append(out, string(m[2]))
		}
	}
	return out
}

// lastCommand returns the last command in a text whose line begins with the
// prefix, with the lines that it goes on with after a backslash.
func lastCommand(text, prefix string) string {
	var command []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, prefix):
			command = []string{line}
		case len(command) > 0 && strings.HasSuffix(command[len(command)-1], `\`):
			command = append(command, line)
		}
	}
	return strings.Join(command, "\n")
}
