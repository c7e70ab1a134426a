package process

import "syscall"

// DieWithParent keeps the terminal's Ctrl-C from a child, and makes the kernel kill it
// when the thread that starts it dies, which must be the main thread.
func DieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
