// Package process holds what each process of the embedded stack does alike: it
// listens, locks its data folder, and stops on a signal.
package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

// Listen opens a TCP listener. Its error for a taken port says which variable
// chooses another.
func Listen(address, variable string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, ListenError(address, variable, err)
	}
	return l, nil
}

// ListenError explains why an address cannot be listened on.
func ListenError(address, variable string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("cannot listen on %s: address already in use; stop the other process or set %s", address, variable)
	}
	return fmt.Errorf("cannot listen on %s: %w; set %s to another address", address, err, variable)
}

// LockFolder makes the folder and holds it for this process until the returned
// function is called or the process ends, however it ends.
func LockFolder(folder string) (unlock func(), err error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the data folder: %w", err)
	}
	path := filepath.Join(folder, ".lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(path)
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("cannot use the data folder %q: it is in use by process %s; stop that or choose another folder",
				folder, strings.TrimSpace(string(holder)))
		}
		return nil, fmt.Errorf("cannot lock the data folder %q: %w", folder, err)
	}
	if err = f.Truncate(0); err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot lock the data folder %q: %w", folder, err)
	}
	return func() { f.Close() }, nil
}

// Context returns a context that ends on SIGINT or SIGTERM.
func Context() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
}

// Fail prints an error on one line and ends the process with status 1.
func Fail(name string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	os.Exit(1)
}
