//go:build !linux

package proc

import (
	"errors"
	"net/netip"
	"os/exec"
	"time"
)

var errLinux = errors.New("measuring processes needs Linux's /proc; run without pids and pinning, or on Linux")

// Read needs Linux.
func Read(int) (Usage, error) { return Usage{}, errLinux }

// Machine needs Linux.
func Machine() (Busy, error) { return Busy{}, errLinux }

// Listener needs Linux.
func Listener(netip.AddrPort) (int, error) { return 0, errLinux }

// Pin needs Linux.
func Pin(int, ...int) error { return errLinux }

// PinSelf needs Linux.
func PinSelf(...int) error { return errLinux }

// Start starts a command; binding it to processors needs Linux.
func Start(cmd *exec.Cmd, cpus ...int) error {
	if len(cpus) > 0 {
		return errLinux
	}
	return cmd.Start()
}

// SleepUntil sleeps until a moment, as precisely as the Go runtime can.
func SleepUntil(until time.Time) { time.Sleep(time.Until(until)) }

// Precise does nothing here.
func Precise() error { return nil }
