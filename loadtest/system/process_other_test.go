//go:build system && !linux

package system

import "syscall"

func attributes() *syscall.SysProcAttr { return nil }
