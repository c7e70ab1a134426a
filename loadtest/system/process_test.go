//go:build system

package system

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tallygate/tallygate/schemas/freeport"
)

const (
	readyTimeout = 60 * time.Second
	stopTimeout  = 60 * time.Second
	logTailBytes = 4 << 10
)

// process is one of our programs. It may be started again after it ended.
type process struct {
	name string
	path string
	args []string
	env  []string
	// dir is where it runs; empty is the folder of the test.
	dir string
	// logPath takes what it prints, over all its lives.
	logPath string
	// addr is where it serves. Empty, or else kill waits until the address is free: a
	// program that runs another one (a JVM) is gone before that is.
	addr string
	// ready returns nil once the process does its work.
	ready func() error

	cmd  *exec.Cmd
	done chan struct{}
	exit error
}

// begin starts the process and does not wait for it to be ready.
func (p *process) begin(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatalf("cannot open the log of %s: %s", p.name, err)
	}
	defer log.Close()
	fmt.Fprintf(log, "---- %s %s\n", filepath.Base(p.path), strings.Join(p.args, " "))
	p.cmd = exec.Command(p.path, p.args...)
	p.cmd.Env, p.cmd.Dir = p.env, p.dir
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = attributes()
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("cannot start %s: %s", p.name, err)
	}
	done := make(chan struct{})
	p.done = done
	go func(cmd *exec.Cmd) {
		p.exit = cmd.Wait()
		close(done)
	}(p.cmd)
}

// start starts the process and waits until it is ready.
func (p *process) start(t *testing.T) {
	t.Helper()
	p.begin(t)
	p.waitReady(t)
}

func (p *process) waitReady(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(readyTimeout)
	for {
		err := p.ready()
		if err == nil {
			return
		}
		select {
		case <-p.done:
			t.Fatalf("%s ended before it was ready: %v\n%s", p.name, p.exit, p.tail())
		case <-time.After(30 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s was not ready within %s: %s\n%s", p.name, readyTimeout, err, p.tail())
		}
	}
}

func (p *process) running() bool {
	if p.done == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// kill ends the process by SIGKILL: it can do nothing about it.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if !p.running() {
		t.Fatalf("cannot kill %s: it has ended by itself: %v\n%s", p.name, p.exit, p.tail())
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	if p.addr == "" {
		return
	}
	eventually(t, 10*time.Second, func() error {
		l, err := net.Listen("tcp", p.addr)
		if err == nil {
			err = l.Close()
		}
		return err
	})
}

// stop ends the process by SIGTERM and wants it to end well.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if !p.running() {
		t.Fatalf("cannot stop %s: it has ended by itself: %v\n%s", p.name, p.exit, p.tail())
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // its goroutines go to the log
		time.Sleep(time.Second)
		_ = p.cmd.Process.Kill()
		<-p.done
		t.Fatalf("%s did not end within %s of SIGTERM\n%s", p.name, stopTimeout, p.tail())
	}
	if p.exit != nil {
		t.Fatalf("%s ended badly after SIGTERM: %s\n%s", p.name, p.exit, p.tail())
	}
}

// wait waits for a process that ends by itself and returns its exit code and output.
func (p *process) wait(t *testing.T) (code int, output string) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.done
		t.Fatalf("%s did not end within %s\n%s", p.name, stopTimeout, p.tail())
	}
	var exit *exec.ExitError
	if errors.As(p.exit, &exit) {
		code = exit.ExitCode()
	}
	return code, p.tail()
}

// cleanUp ends the process whatever its state.
func (p *process) cleanUp() {
	if !p.running() {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// tail returns the last lines that the process printed.
func (p *process) tail() string {
	text, err := os.ReadFile(p.logPath)
	if err != nil {
		return err.Error()
	}
	if cut := len(text) - logTailBytes; cut > 0 {
		text = text[cut:]
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			text = text[i+1:]
		}
	}
	return string(text)
}

// answers200 returns a readiness check: a GET of the URL gives 200.
func answers200(url string) func() error {
	return func() error {
		client := http.Client{Timeout: 2 * time.Second}
		resp, err := client.Get(url)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %d: %s", url, resp.StatusCode, body)
		}
		return nil
	}
}

// answersWith returns a check: a GET of the URL gives the status, and the text is in its body.
func answersWith(url string, status int, text string) func() error {
	return func() error {
		resp, err := httpClient.Get(url)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
		if resp.StatusCode != status || !bytes.Contains(body, []byte(text)) {
			return fmt.Errorf("%s answers %d %s; want %d with %q", url, resp.StatusCode, body, status, text)
		}
		return nil
	}
}

// freeAddr returns a loopback address on which nothing listens. A process that is
// started again keeps its address, so it cannot ask for any port at start.
func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := freeport.Addr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}
