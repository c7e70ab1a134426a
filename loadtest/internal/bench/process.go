package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/tallygate/tallygate/loadtest/internal/proc"
)

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 40 * time.Second
)

// process is a program of ours that runs for a while.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
}

// start starts a program from the folder of binaries, on the given processors. Its
// output goes to a file of the working folder.
func (b *bench) start(cpus []int, env []string, name string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(b.dir, name+".log"), done: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("cannot keep the log of %s: %w", name, err)
	}
	defer out.Close()
	path := filepath.Join(b.Bin, name)
	if filepath.Base(path) == path {
		path = "./" + path
	}
	p.cmd = exec.Command(path, args...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = append(os.Environ(), env...)
	// A Ctrl-C is for this program, which ends the others in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := proc.Start(p.cmd, cpus...); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w; build the programs with make build", name, err)
	}
	go func() {
		// How it ended is in the command's state.
		_ = p.cmd.Wait()
		close(p.done)
	}()
	b.running = append(b.running, p)
	return p, nil
}

var addressRE = regexp.MustCompile(`(?m)\bready\b.*\baddr=(\S+)`)

// address waits until the process says where it listens.
func (p *process) address(ctx context.Context) (string, error) {
	var addr string
	err := p.until(ctx, func() bool {
		text, _ := os.ReadFile(p.log)
		if g := addressRE.FindSubmatch(text); g != nil {
			addr = string(g[1])
		}
		return addr != ""
	})
	return addr, err
}

// answers waits until a URL answers with 200.
func (p *process) answers(ctx context.Context, url string) error {
	client := &http.Client{Timeout: time.Second}
	return p.until(ctx, func() bool {
		resp, err := client.Get(url)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// until waits for a condition, or for the process's end.
func (p *process) until(ctx context.Context, condition func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for !condition() {
		select {
		case <-p.done:
			return fmt.Errorf("%s ended at once (%s):\n%s", p.name, p.cmd.ProcessState, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w:\n%s", p.name, ctx.Err(), p.tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// tail returns the end of the process's log.
func (p *process) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	const most = 2000
	if len(text) > most {
		text = text[len(text)-most:]
	}
	return string(bytes.TrimSpace(text))
}

// stop ends the process in order, and at once if that takes too long.
func (p *process) stop() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended by itself (%s):\n%s", p.name, p.cmd.ProcessState, p.tail())
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("cannot stop %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(stopTimeout):
	}
	err := p.cmd.Process.Kill()
	<-p.done
	return errors.Join(err, fmt.Errorf("%s did not stop within %s and was killed:\n%s", p.name, stopTimeout, p.tail()))
}

// stopAll ends all processes, the last started first.
func (b *bench) stopAll() error {
	var errs []error
	for i := len(b.running) - 1; i >= 0; i-- {
		errs = append(errs, b.running[i].stop())
	}
	b.running = nil
	return errors.Join(errs...)
}
