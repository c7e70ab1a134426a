//go:build !linux

package process

import "syscall"

// DieWithParent keeps the terminal's Ctrl-C from the child. Only Linux can tie a
// child's life to its parent's: elsewhere a killed parent leaves it running.
func DieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
