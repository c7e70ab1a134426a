package spool

import (
	"os"
	"path/filepath"
)

// The ballast is a file of a growing spool that is given up when the disk is full,
// so that a checkpoint can still be written: only after it can segments be
// deleted, and the disk get room again.
const (
	ballastName  = "ballast" + spareSuffix
	ballastBytes = 1 << 20
)

// loadBallast makes the ballast, if the spool grows, it is not there, and the disk
// has room.
func (l *Log) loadBallast() {
	if l.ballast != "" || !l.grows() {
		return
	}
	path := filepath.Join(l.dir, ballastName)
	f, err := l.disk.allocate(path, ballastBytes)
	if err != nil {
		return
	}
	_ = f.Close()
	l.ballast = path
}

// dropBallast gives the ballast up, and says if there was one.
func (l *Log) dropBallast() bool {
	if l.ballast == "" || os.Remove(l.ballast) != nil {
		return false
	}
	l.ballast = ""
	return true
}

// grows says if a segment is still being written.
func (l *Log) grows() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.segments) > 0 && l.segments[len(l.segments)-1].open
}
