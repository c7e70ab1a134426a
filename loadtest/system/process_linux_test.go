//go:build system

package system

import "syscall"

// attributes ends a process with the test, even if the test is killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
