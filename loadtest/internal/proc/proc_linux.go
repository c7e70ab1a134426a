package proc

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of times in /proc; the kernel shows every architecture's as this.
const tick = time.Second / 100

// Read returns what a process has used. Processor time comes from the process's
// own clock, which counts nanoseconds; /proc/PID/stat has the same time in ticks
// of 10 ms and is read where that clock is not to be had.
func Read(pid int) (Usage, error) {
	var u Usage
	var err error
	if u.CPU, err = cpuByClock(pid); err != nil {
		if u.CPU, err = cpuByStat(pid); err != nil {
			return u, err
		}
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return u, fmt.Errorf("cannot read the memory of process %d: %w", pid, err)
	}
	if f := strings.Fields(string(b)); len(f) > 1 {
		pages, _ := strconv.ParseInt(f[1], 10, 64)
		u.RSSBytes = pages * int64(os.Getpagesize())
	}
	return u, nil
}

// cpuByClock reads the processor clock of a process; see clock_getcpuclockid(3).
func cpuByClock(pid int) (time.Duration, error) {
	const cpuClockSched = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|cpuClockSched), &ts); err != nil {
		return 0, fmt.Errorf("cannot read the processor clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// cpuByStat sums utime and stime.
func cpuByStat(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("cannot read the processor time of process %d: %w", pid, err)
	}
	// The name, in parentheses, may hold anything; fields are counted after it.
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 13 {
		return 0, fmt.Errorf("cannot read the processor time of process %d: /proc/%d/stat has %d fields after the name", pid, pid, len(f))
	}
	user, err1 := strconv.ParseInt(string(f[11]), 10, 64)
	system, err2 := strconv.ParseInt(string(f[12]), 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, fmt.Errorf("cannot read the processor time of process %d: %w", pid, err)
	}
	return time.Duration(user+system) * tick, nil
}

// Machine returns the processor time of the whole machine.
func Machine() (Busy, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Busy{}, fmt.Errorf("cannot read the machine's processor time: %w", err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return Busy{}, fmt.Errorf("cannot read the machine's processor time: /proc/stat begins with %q", line)
	}
	var out Busy
	// user nice system idle iowait irq softirq steal; guest time is part of user.
	for i, text := range f[1:9] {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return Busy{}, fmt.Errorf("cannot read the machine's processor time: %w", err)
		}
		d := time.Duration(n) * tick
		out.Total += d
		if i != 3 && i != 4 {
			out.Used += d
		}
	}
	return out, nil
}

// Listener returns the process that listens on a TCP port of this machine.
func Listener(addr netip.AddrPort) (int, error) {
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		if err := listening(table, addr.Port(), inodes); err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, fmt.Errorf("cannot find who listens on %s: %w", addr, err)
		}
	}
	if len(inodes) == 0 {
		return 0, fmt.Errorf("nobody listens on %s; start the target first", addr)
	}
	files, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return 0, fmt.Errorf("cannot find who listens on %s: %w", addr, err)
	}
	for _, file := range files {
		to, err := os.Readlink(file)
		if err != nil {
			continue // the process or the file is gone, or another user's
		}
		if inode, ok := strings.CutPrefix(to, "socket:["); ok && inodes[strings.TrimSuffix(inode, "]")] {
			return strconv.Atoi(strings.Split(file, "/")[2])
		}
	}
	return 0, fmt.Errorf("cannot find who listens on %s: the process belongs to another user; give its pid", addr)
}

// listening adds the inodes of sockets that listen on the port.
func listening(table string, port uint16, inodes map[string]bool) error {
	b, err := os.ReadFile(table)
	if err != nil {
		return err
	}
	const stateListen = "0A"
	suffix := fmt.Sprintf(":%04X", port)
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) > 9 && f[3] == stateListen && strings.HasSuffix(f[1], suffix) {
			inodes[f[9]] = true
		}
	}
	return nil
}

// Pin binds every thread of a process to the given processors; threads that it
// starts later inherit that.
func Pin(pid int, cpus ...int) error {
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	// Threads may start while the others are bound: go on until all were.
	for done := map[string]bool{}; ; {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			return fmt.Errorf("cannot pin process %d: %w", pid, err)
		}
		before := len(done)
		for _, task := range tasks {
			if done[task.Name()] {
				continue
			}
			done[task.Name()] = true
			tid, err := strconv.Atoi(task.Name())
			if err != nil {
				continue
			}
			if err := unix.SchedSetaffinity(tid, &set); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("cannot pin process %d to processors %v: %w", pid, cpus, err)
			}
		}
		if len(done) == before {
			return nil
		}
	}
}

// Start starts a command bound to the given processors, so that its runtime sizes
// itself for them; without any, wherever this process may run.
func Start(cmd *exec.Cmd, cpus ...int) error {
	if len(cpus) == 0 {
		return cmd.Start()
	}
	// A child inherits the processors of the thread that starts it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("cannot read where this thread may run: %w", err)
	}
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("cannot use processors %v: %w", cpus, err)
	}
	startErr := cmd.Start()
	if err := unix.SchedSetaffinity(0, &before); err != nil {
		return errors.Join(startErr, fmt.Errorf("cannot let this thread run as before: %w", err))
	}
	return startErr
}

// pinnedMark tells a process that PinSelf has started it, and for which processors.
const pinnedMark = "LOADTEST_PINNED"

// PinSelf binds this process to the given processors and starts its program
// anew, so that the Go runtime sizes itself for them. It returns only if that was
// done already, or with an error.
func PinSelf(cpus ...int) error {
	want := fmt.Sprint(cpus)
	if os.Getenv(pinnedMark) == want {
		return nil
	}
	if err := Pin(os.Getpid(), cpus...); err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot start anew after pinning: %w", err)
	}
	err = syscall.Exec(exe, os.Args, append(os.Environ(), pinnedMark+"="+want))
	return fmt.Errorf("cannot start anew after pinning: %w", err)
}

// SleepUntil sleeps until a moment with the precision of the kernel's timers,
// some microseconds; the Go runtime's own are late by up to a millisecond when
// nothing else runs. It holds a thread meanwhile; call Precise on it first.
func SleepUntil(until time.Time) {
	for {
		d := time.Until(until)
		if d <= 0 {
			return
		}
		ts := unix.NsecToTimespec(int64(d))
		// A signal may end the sleep early.
		_ = unix.Nanosleep(&ts, nil)
	}
}

// Precise asks the kernel not to group this thread's timers with others'. The
// goroutine must be locked to its thread.
func Precise() error {
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot set the timer slack: %w", err)
	}
	return nil
}
