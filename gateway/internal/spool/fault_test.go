package spool

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallygate/tallygate/schemas/event"
)

// faultyDisk fails on demand.
type faultyDisk struct {
	osDisk
	// files is how many may still be allocated; writeBytes how many may still be
	// written; syncs how many syncs work. Negative: no bound.
	files, writeBytes, syncs atomic.Int64
	// full makes small files fail as long as the ballast is there.
	full atomic.Bool
}

func newFaultyDisk() *faultyDisk {
	d := &faultyDisk{}
	for _, n := range []*atomic.Int64{&d.files, &d.writeBytes, &d.syncs} {
		n.Store(-1)
	}
	return d
}

func (d *faultyDisk) allocate(path string, size int64) (file, error) {
	if n := d.files.Load(); n == 0 {
		return nil, syscall.ENOSPC
	} else if n > 0 {
		d.files.Add(-1)
	}
	f, err := d.osDisk.allocate(path, size)
	return &faultyFile{file: f, disk: d}, err
}

func (d *faultyDisk) replace(path string, data []byte) error {
	if !d.full.Load() {
		return d.osDisk.replace(path, data)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), ballastName)); err == nil {
		return syscall.ENOSPC
	}
	return d.osDisk.replace(path, data)
}

type faultyFile struct {
	file
	disk *faultyDisk
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	left := f.disk.writeBytes.Load()
	if left < 0 || left >= int64(len(p)) {
		return f.file.WriteAt(p, off)
	}
	// The beginning reaches the disk, as it does in life.
	n, _ := f.file.WriteAt(p[:left], off)
	return n, syscall.EIO
}

func (f *faultyFile) Datasync() error {
	if n := f.disk.syncs.Load(); n == 0 {
		return syscall.EIO
	} else if n > 0 {
		f.disk.syncs.Add(-1)
	}
	return f.file.Datasync()
}

func TestFailedWriteEndsTheSpool(t *testing.T) {
	d := newFaultyDisk()
	o := options(t.TempDir())
	o.disk = d
	s := open(t, o)
	for range 5 {
		appendOne(t, s, 0, body(t, s, 0, event.NewID(time.Now()), completed, 10))
	}
	d.writeBytes.Store(100)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			e := Entry{Partition: 1, Body: body(t, s, 1, event.NewID(time.Now()), completed, 10)}
			if err := s.Append(&e); !errors.Is(err, syscall.EIO) {
				t.Errorf("unexpected error; got %v; want %v", err, syscall.EIO)
			}
		})
	}
	wg.Wait()
	d.writeBytes.Store(-1)
	err := s.Append(&Entry{Body: []byte{1}})
	if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), s.Dir()) || !errors.Is(s.Err(), syscall.EIO) {
		t.Fatalf("the spool takes events after a failed write: %v", err)
	}
	if err := s.Close(t.Context()); !errors.Is(err, syscall.EIO) {
		t.Fatalf("unexpected error of Close: %v", err)
	}
	// What was promised is there, what was refused is not.
	l, err := OpenLog(s.Dir())
	if err != nil {
		t.Fatalf("cannot open again: %s", err)
	}
	if got := readAll(t, l); len(got) != 6 {
		t.Fatalf("unexpected number of records; got %d; want 6", len(got))
	}
}

func TestFailedSyncEndsTheSpool(t *testing.T) {
	d := newFaultyDisk()
	o := options(t.TempDir())
	o.disk, o.Sync = d, SyncAlways
	s := open(t, o)
	appendOne(t, s, 0, body(t, s, 0, event.NewID(time.Now()), completed, 10))
	d.syncs.Store(0)
	if err := s.Append(&Entry{Body: []byte{1}}); !errors.Is(err, syscall.EIO) {
		t.Fatalf("unexpected error; got %v; want %v", err, syscall.EIO)
	}
	d.syncs.Store(-1)
	if err := s.Append(&Entry{Body: []byte{1}}); !errors.Is(err, syscall.EIO) {
		t.Fatalf("the spool takes events after a failed sync: %v", err)
	}
}

func TestFailedSyncInBackgroundEndsTheSpool(t *testing.T) {
	d := newFaultyDisk()
	o := options(t.TempDir())
	o.disk, o.Sync = d, SyncInterval
	s := open(t, o)
	d.syncs.Store(0)
	appendOne(t, s, 0, body(t, s, 0, event.NewID(time.Now()), completed, 10))
	for range 1000 {
		if s.Err() != nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := s.Append(&Entry{Body: []byte{1}}); !errors.Is(err, syscall.EIO) {
		t.Fatalf("the spool takes events after a failed sync: %v", err)
	}
}

// TestFullDisk fills the disk: new calls are refused, what was reserved is
// written, and it goes on when there is room again.
func TestFullDisk(t *testing.T) {
	d := newFaultyDisk()
	o := options(t.TempDir())
	o.disk, o.SegmentBytes = d, 64<<10
	s := open(t, o)
	d.files.Store(2)
	if _, err := os.Stat(filepath.Join(s.Dir(), ballastName)); err != nil {
		t.Fatalf("there is no ballast: %s", err)
	}
	const each = 2 << 10
	var reserved []int64
	for {
		err := s.Reserve(each)
		if errors.Is(err, ErrFull) && errors.Is(err, syscall.ENOSPC) {
			break
		}
		if err != nil {
			t.Fatalf("unexpected error: %s", err)
		}
		if reserved = append(reserved, each); len(reserved) > 1000 {
			t.Fatalf("a full disk refuses nothing")
		}
	}
	if len(reserved) < 50 {
		t.Fatalf("only %d events fit on three segments of %d bytes", len(reserved), o.SegmentBytes)
	}
	for i, n := range reserved {
		b := body(t, s, 0, event.NewID(time.Now()), completed, each-500)
		if err := s.Append(&Entry{Body: b}); err != nil {
			t.Fatalf("cannot append event %d of %d that were reserved: %s", i, len(reserved), err)
		}
		s.Release(n)
	}
	// Without reservation the rest goes too, and then no more, but the spool has not failed.
	var err error
	for range 1000 {
		if err = s.Append(&Entry{Body: body(t, s, 0, event.NewID(time.Now()), completed, each)}); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrFull) || s.Err() != nil {
		t.Fatalf("unexpected error on a full disk; got %v; want %v; the spool's own: %v", err, ErrFull, s.Err())
	}
	// What Kafka has can be deleted even so.
	d.full.Store(true)
	recs := readAll(t, s.Log)
	before, last := s.Bytes(), recs[len(recs)-1]
	s.Ack(last.Seq+1, last.End)
	if err := s.Checkpoint(); err != nil || s.Bytes() >= before {
		t.Fatalf("nothing was deleted on a full disk: %d bytes of %d, error %v", s.Bytes(), before, err)
	}
	d.full.Store(false)
	d.files.Store(-1)
	time.Sleep(retryAfter)
	appendOne(t, s, 0, body(t, s, 0, event.NewID(time.Now()), completed, each))
	if err := s.Checkpoint(); err != nil {
		t.Fatalf("cannot checkpoint: %s", err)
	}
	if _, err := os.Stat(filepath.Join(s.Dir(), ballastName)); err != nil {
		t.Fatalf("the ballast was not made again: %s", err)
	}
	readAll(t, s.Log)
}

// TestNobodyWaitsForEver runs appends in a bubble, where a lost wake-up is a deadlock.
func TestNobodyWaitsForEver(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(options(dir))
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for w := range 50 {
			wg.Go(func() {
				e := Entry{Partition: int32(w % 4)}
				for range 200 {
					e.Body = append(e.Body[:0], 0x0a, 1, byte(w))
					if err := s.Append(&e); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
