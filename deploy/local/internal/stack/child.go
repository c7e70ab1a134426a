package stack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/tallygate/tallygate/deploy/local/internal/process"
)

// child is a running program. Its output goes to a file.
type child struct {
	name    string
	logPath string
	// stopTimeout is how long it may take to end after SIGTERM.
	stopTimeout time.Duration

	cmd    *exec.Cmd
	exited chan struct{}
}

// tailLines is how much of a dead program's log is shown.
const tailLines = 20

// startChild starts a program whose log is DATA/logs/NAME.log; the log of the
// time before is kept as NAME.log.old. It must be called on the main thread: the
// child dies with it.
func startChild(data string, env []string, name, path string, args ...string) (*child, error) {
	folder := filepath.Join(data, "logs")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make a folder for the logs: %w", err)
	}
	c := &child{name: name, logPath: filepath.Join(folder, name+".log"), stopTimeout: 15 * time.Second, exited: make(chan struct{})}
	if err := os.Rename(c.logPath, c.logPath+".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot keep the old log of %s: %w", name, err)
	}
	log, err := os.OpenFile(c.logPath, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot open the log of %s: %w", name, err)
	}
	defer log.Close()
	c.cmd = exec.Command(path, args...)
	c.cmd.Env, c.cmd.Stdout, c.cmd.Stderr = env, log, log
	c.cmd.SysProcAttr = process.DieWithParent()
	if err := c.cmd.Start(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("cannot start %s: there is no program %q; build it with: make build", name, path)
		}
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	go func() {
		_ = c.cmd.Wait()
		close(c.exited)
	}()
	return c, nil
}

// ended says that the program has ended by itself, with the last lines of its log.
func (c *child) ended() error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s ended by itself (%s); the end of %s:", c.name, c.cmd.ProcessState, c.logPath)
	for line := range strings.Lines(process.Tail(c.logPath, tailLines)) {
		b.WriteString("\n  " + c.name + " | " + strings.TrimSuffix(line, "\n"))
	}
	return errors.New(b.String())
}

// stop ends the program in order, or by force if that takes too long.
func (c *child) stop() error {
	select {
	case <-c.exited:
		return nil
	default:
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.exited:
		if !c.cmd.ProcessState.Success() {
			return fmt.Errorf("%s did not stop well (%s); see %s", c.name, c.cmd.ProcessState, c.logPath)
		}
		return nil
	case <-time.After(c.stopTimeout):
		_ = c.cmd.Process.Kill()
		<-c.exited
		return fmt.Errorf("%s did not stop within %s and was killed; see %s", c.name, c.stopTimeout, c.logPath)
	}
}
