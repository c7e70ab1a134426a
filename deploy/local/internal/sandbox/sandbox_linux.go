// Package sandbox shuts a process off from what it has no business with, by the
// kernel's Landlock: a second fence behind the engine's own grants, which do not
// cover everything (the function file() for one reads any file).
package sandbox

import (
	"fmt"
	"os"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// readable is what the C library and the engine read of the system.
var readable = []string{
	"/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/etc/timezone", "/etc/nsswitch.conf",
	"/proc", "/sys", "/dev/urandom", "/dev/random",
}

const (
	readAccess  = landlock.AccessFSSet(ll.AccessFSReadFile | ll.AccessFSReadDir)
	fileAccess  = landlock.AccessFSSet(ll.AccessFSReadFile)
	writeAccess = landlock.AccessFSSet(ll.AccessFSReadFile | ll.AccessFSReadDir | ll.AccessFSWriteFile | ll.AccessFSTruncate |
		ll.AccessFSMakeReg | ll.AccessFSMakeDir | ll.AccessFSMakeSym | ll.AccessFSRemoveFile | ll.AccessFSRemoveDir | ll.AccessFSRefer)
)

// Restrict leaves this process the data folder to write, the library and the
// system's own files to read, and nothing else: no other file, no program to
// start, no connection to open or port to listen on. What is open stays open. A
// kernel that cannot do all of it does what it can. It needs a build with cgo, to
// reach the threads that exist already.
func Restrict(data, library string) error {
	rules := []landlock.Rule{
		landlock.PathAccess(writeAccess, data),
		landlock.PathAccess(fileAccess, library).IgnoreIfMissing(),
		landlock.PathAccess(fileAccess|landlock.AccessFSSet(ll.AccessFSWriteFile), "/dev/null"),
	}
	for _, path := range readable {
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		access := readAccess
		if !info.IsDir() {
			access = fileAccess
		}
		rules = append(rules, landlock.PathAccess(access, path))
	}
	if err := landlock.V5.BestEffort().Restrict(rules...); err != nil {
		return fmt.Errorf("cannot shut the engine off from other files and hosts: %w", err)
	}
	return nil
}
