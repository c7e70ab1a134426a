package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// disk is what a spool writes through. Tests put faults in.
type disk interface {
	// allocate makes a file whose size bytes are its own from now on: writing into
	// them does not fail for want of space.
	allocate(path string, size int64) (file, error)
	// replace writes a small file so that it has either its old content or its new
	// one, whatever happens and whenever.
	replace(path string, data []byte) error
}

// file is a segment that is being written.
type file interface {
	WriteAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	// Datasync returns when all that was written survives a loss of power.
	Datasync() error
	Close() error
}

type osDisk struct{}

type osFile struct{ *os.File }

func (f osFile) Datasync() error { return fdatasync(f.File) }

func (osDisk) allocate(path string, size int64) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := fallocate(f, size); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot allocate %d bytes for %q: %w", size, path, err), f.Close(), os.Remove(path))
	}
	return osFile{f}, nil
}

const tempSuffix = ".tmp"

func (osDisk) replace(path string, data []byte) error {
	f, err := os.OpenFile(path+tempSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("cannot replace %q: %w", path, err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(path+tempSuffix, path)
	}
	if err != nil {
		return fmt.Errorf("cannot replace %q: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the creation, renaming and removal of files in a folder survive
// a loss of power.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("cannot sync folder %q: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("cannot sync folder %q: %w", dir, err)
	}
	return nil
}
