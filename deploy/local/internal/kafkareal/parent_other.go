//go:build !linux

package kafkareal

import "syscall"

// dieWithParent keeps the terminal's Ctrl-C from the child. Only Linux can tie a
// child's life to its parent's: elsewhere a killed parent leaves it running.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
