//go:build !linux

package spool

import "os"

// fallocate only sets the size: a full disk shows when it is written to.
func fallocate(f *os.File, size int64) error { return f.Truncate(size) }

func fdatasync(f *os.File) error { return f.Sync() }
