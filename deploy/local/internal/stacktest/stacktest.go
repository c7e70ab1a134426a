// Package stacktest starts the binaries of the embedded stack for tests.
package stacktest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tallygate/tallygate/deploy/local/internal/engine"
)

// startTimeout is for a process to say that it listens.
const startTimeout = 60 * time.Second

// Build compiles a command of deploy/local/cmd into a folder and returns the binary.
func Build(folder, command string) (string, error) {
	binary := filepath.Join(folder, command)
	cmd := exec.Command("go", "build", "-o", binary, "github.com/tallygate/tallygate/deploy/local/cmd/"+command)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build %s: %w\n%s", command, err, out)
	}
	return binary, nil
}

// RequireEngine fails the test if the ClickHouse library is not in the cache.
func RequireEngine(t testing.TB) {
	t.Helper()
	path, err := engine.Path()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("the ClickHouse library is missing (%v); fetch it with: make engine", err)
	}
}

// Process is a running binary.
type Process struct {
	// Addr is where it listens, from its line "listening HOST:PORT".
	Addr string

	cmd    *exec.Cmd
	stderr *output
	exited chan struct{}
}

// Start runs a binary until the test ends, and waits until it says that it listens.
func Start(t testing.TB, binary string, args ...string) *Process {
	t.Helper()
	p, err := Run(t, binary, args...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Run is Start for a binary that may fail; the error has what it wrote.
func Run(t testing.TB, binary string, args ...string) (*Process, error) {
	t.Helper()
	p := &Process{cmd: exec.Command(binary, args...), stderr: &output{}, exited: make(chan struct{})}
	p.cmd.Stderr = p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	listening := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if addr, ok := strings.CutPrefix(lines.Text(), "listening "); ok {
				listening <- addr
			}
		}
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(p.Kill)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	select {
	case p.Addr = <-listening:
		return p, nil
	case <-p.exited:
		return nil, fmt.Errorf("%s ended with status %d: %s", filepath.Base(binary), p.cmd.ProcessState.ExitCode(), p.stderr)
	case <-ctx.Done():
		p.Kill()
		return nil, fmt.Errorf("%s does not listen after %s: %s", filepath.Base(binary), startTimeout, p.stderr)
	}
}

// Kill ends the process with SIGKILL.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// Stop ends the process with SIGTERM and returns its exit status.
func (p *Process) Stop(t testing.TB) int {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("cannot stop the process: %v; it wrote: %s", err, p.stderr)
	}
	select {
	case <-p.exited:
	case <-time.After(30 * time.Second):
		t.Fatalf("the process goes on 30s after SIGTERM; it wrote: %s", p.stderr)
	}
	return p.cmd.ProcessState.ExitCode()
}

// Stderr returns what the process wrote so far.
func (p *Process) Stderr() string { return p.stderr.String() }

type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

var _ io.Writer = (*output)(nil)

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
