// Package spool keeps events safe on disk until Kafka has them: a write-ahead log
// of one process. An event that was appended survives the death of the process;
// how far it survives a loss of power is a setting.
package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tallygate/tallygate/schemas/event"
)

// Modes of Options.Sync.
const (
	// SyncAlways makes Append return when the event survives a loss of power.
	SyncAlways = "always"
	// SyncInterval makes events safe from a loss of power every Options.SyncInterval.
	SyncInterval = "interval"
	// SyncNever leaves it to the system.
	SyncNever = "never"
)

// Options are what a spool is made with.
type Options struct {
	// Dir holds a folder for each spool.
	Dir string
	// Role, Replica and Version are written into the spool's first event of each partition.
	Role, Replica, Version string
	// QuotaBytes is how much the spool may hold, reserved bytes included. Beside it
	// stand at most two segments that are allocated ahead.
	QuotaBytes int64
	// SegmentBytes is the size of one file.
	SegmentBytes int64
	// Sync is one of SyncAlways, SyncInterval, SyncNever.
	Sync         string
	SyncInterval time.Duration
	// Partitions is the number of partitions of the requests topic.
	Partitions int
	// Now is the clock; time.Now if it is nil.
	Now func() time.Time

	disk disk
}

// Errors of Append and Reserve.
var (
	// ErrFull says that the quota or the disk has no room. It passes when Kafka
	// takes what is there.
	ErrFull = errors.New("the spool is full; possible solutions: check that Kafka is reachable; raise spool.quota_bytes; free space on the disk")
	// ErrClosed is given after Close.
	ErrClosed = errors.New("the spool is closed")
	// ErrTooLarge says that an event is larger than Kafka takes.
	ErrTooLarge = errors.New("the event is too large")
)

// Spool is the write-ahead log of this process. Its methods are safe for
// concurrent use. The embedded Log reads it.
type Spool struct {
	*Log
	o Options

	// stack holds the entries that wait, the newest first; flushing is true while
	// one goroutine, the flusher, owns everything in w. See flush.go.
	stack    atomic.Pointer[Entry]
	flushing atomic.Bool
	w        writer
	// fault is why no more is written, once there is a reason.
	fault atomic.Pointer[error]

	// reserved are bytes promised to requests, foreign those of older spools.
	reserved atomic.Int64
	foreign  atomic.Int64
	space    space

	// syncing is held while a segment is synced, and while it is exchanged.
	syncing sync.Mutex
	current file
	// unsynced has a token when something was written that is not synced.
	unsynced chan struct{}
	stop     chan struct{}
	stopped  sync.WaitGroup
	stopOnce sync.Once
}

// Open makes the folder of a new spool, with an id of its own, and its first
// segment. It takes no notice of older ones.
func Open(o Options) (*Spool, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.disk == nil {
		o.disk = osDisk{}
	}
	id := event.NewSpool()
	dir := filepath.Join(o.Dir, folderName(id))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make spool folder: %w", err)
	}
	s := &Spool{
		Log: &Log{dir: dir, id: id, disk: o.disk, more: make(chan struct{}, 1), acked: 1, saved: 1},
		o:   o, unsynced: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	s.next.Store(1)
	s.w = writer{parts: make([]chain, o.Partitions), seq: 1}
	s.space = space{disk: o.disk, dir: dir, segment: o.SegmentBytes, wanted: make(chan struct{}, 1)}
	if err := errors.Join(syncDir(filepath.Dir(o.Dir)), syncDir(o.Dir)); err != nil {
		return nil, err
	}
	if err := s.rotate(); err != nil {
		return nil, err
	}
	s.loadBallast()
	s.stopped.Go(func() { s.space.keepAhead(s.stop, &s.reserved) })
	if o.Sync == SyncInterval {
		s.stopped.Go(s.syncOften)
	}
	return s, nil
}

// Reserve sets bytes aside for an event that must not be refused later, such as
// the completion of a call that will have been paid. ErrFull is wrapped by the
// error if there is no room under the quota or on the disk.
func (s *Spool) Reserve(n int64) error {
	reserved := s.reserved.Add(n)
	if s.Bytes()+s.foreign.Load()+reserved > s.o.QuotaBytes {
		s.reserved.Add(-n)
		return ErrFull
	}
	if err := s.space.ensure(reserved); err != nil {
		s.reserved.Add(-n)
		return err
	}
	return nil
}

// Release gives back what was reserved, once the event is appended or will not be.
func (s *Spool) Release(n int64) { s.reserved.Add(-n) }

// Reserved returns the bytes that are set aside.
func (s *Spool) Reserved() int64 { return s.reserved.Load() }

// Occupy counts bytes of older spools, which are on the same disk, into the
// quota; a negative number takes them out.
func (s *Spool) Occupy(n int64) { s.foreign.Add(n) }

// Err returns why the spool takes no more events, or nil.
func (s *Spool) Err() error {
	if p := s.fault.Load(); p != nil {
		return *p
	}
	return nil
}

// fail keeps the first fault.
func (s *Spool) fail(err error) error {
	s.fault.CompareAndSwap(nil, &err)
	return s.Err()
}

// Sync returns when everything appended before survives a loss of power.
func (s *Spool) Sync() error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	if s.current == nil {
		return nil
	}
	if err := s.current.Datasync(); err != nil {
		// What became of the pages is unknown after a failed sync; trying again would
		// report success without their being on disk.
		return s.fail(fmt.Errorf("cannot sync spool %q: %w", s.dir, err))
	}
	return nil
}

func (s *Spool) syncOften() {
	for {
		select {
		case <-s.stop:
			return
		case <-s.unsynced:
		}
		select {
		case <-s.stop:
			return
		case <-time.After(s.o.SyncInterval):
		}
		if s.Sync() != nil {
			return
		}
	}
}

// Close writes spool_closed into each partition that was used, syncs, and ends
// the spool: every further Append gives ErrClosed. What is in it can still be read
// and acknowledged. A second Close does nothing.
func (s *Spool) Close(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- s.shut() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("cannot close spool %q: %w", s.dir, ctx.Err())
	}
}

func (s *Spool) shut() error {
	err := s.Append(&Entry{last: true})
	if errors.Is(err, ErrClosed) {
		err = nil
	}
	s.stopOnce.Do(func() { close(s.stop) })
	s.stopped.Wait()
	err = errors.Join(err, s.Sync())
	s.syncing.Lock()
	defer s.syncing.Unlock()
	if s.current != nil {
		err = errors.Join(err, s.current.Close())
		s.current = nil
	}
	return errors.Join(err, s.space.close())
}
