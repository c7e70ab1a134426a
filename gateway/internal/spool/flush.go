package spool

import (
	"errors"
	"fmt"
	"os"

	"github.com/tallygate/tallygate/schemas/event"
)

// Entry is one event to append. Callers keep it and use it again; it may not be
// touched while Append runs.
type Entry struct {
	Partition int32
	// Body is the event's envelope, fields 1 to 99, encoded.
	Body []byte

	// pseq is the place that the event got in its partition.
	pseq uint64
	err  error
	// last makes this the spool's end.
	last bool
	next *Entry
	// wake gets one signal at a time, from the flusher.
	wake chan signal
}

// Pseq returns the event's place in its spool and partition, after Append.
func (e *Entry) Pseq() uint64 { return e.pseq }

type signal uint8

const (
	// written says that the entry is done with; its err tells how.
	written signal = iota
	// lead says that the entry's goroutine is the flusher now.
	lead
)

// Append returns when the event is written to the file, and with SyncAlways when
// it survives a loss of power. After an error the event is not in the spool. When
// a write or sync has failed, every further Append gives the same error, since
// what is on the disk is then not known; an error that wraps ErrFull passes.
//
// No lock is shared. Entries are pushed on a stack; who finds no flusher at work
// becomes it, takes the whole stack, and writes it at once. Then it passes the
// work on to one of those who came meanwhile, so that nobody works for others for
// longer than one write.
func (s *Spool) Append(e *Entry) error {
	if err := s.check(e); err != nil {
		return err
	}
	if e.wake == nil {
		e.wake = make(chan signal, 1)
	}
	for {
		e.next = s.stack.Load()
		if s.stack.CompareAndSwap(e.next, e) {
			break
		}
	}
	if s.flushing.CompareAndSwap(false, true) {
		s.flushAndPassOn()
	}
	if <-e.wake == lead {
		s.flushAndPassOn()
		<-e.wake
	}
	return e.err
}

func (s *Spool) check(e *Entry) error {
	switch {
	case e.last:
		return s.Err()
	case uint32(e.Partition) >= uint32(len(s.w.parts)):
		return fmt.Errorf("BUG: partition %d of an event; there are %d", e.Partition, len(s.w.parts))
	case len(e.Body) > MaxBodyBytes:
		return fmt.Errorf("%w: %d bytes; the limit is %d", ErrTooLarge, len(e.Body), MaxBodyBytes)
	}
	return s.Err()
}

// flushAndPassOn writes what waits and then ends this goroutine's turn. Only the
// flusher takes entries off the stack, so one that is seen there by the flusher
// stays there until its goroutine has been told to lead.
func (s *Spool) flushAndPassOn() {
	s.flush(s.stack.Swap(nil))
	for {
		if top := s.stack.Load(); top != nil {
			top.wake <- lead
			return
		}
		s.flushing.Store(false)
		// Who pushed before that store saw a flusher at work and waits for a signal.
		if s.stack.Load() == nil || !s.flushing.CompareAndSwap(false, true) {
			return
		}
	}
}

// writer is what the flusher needs; only the flusher touches it.
type writer struct {
	parts []chain
	// seq is the number of the next frame.
	seq uint64
	// buf are frames that are sealed and not written. They go to off in file, the
	// segment that is being written.
	buf  []byte
	off  int64
	file file
}

// chain is the state of one partition.
type chain struct {
	pseq uint64
	prev event.Hash
}

const (
	// writeBytes ends a write: a cohort that is larger is written in several.
	writeBytes = 1 << 20
	// keepBytes is how large a buffer may be to be kept.
	keepBytes = 4 << 20
)

// flush seals and writes a cohort, oldest first, and wakes its goroutines.
func (s *Spool) flush(newest *Entry) {
	var oldest *Entry
	for e := newest; e != nil; {
		e.next, oldest, e = oldest, e, e.next
	}
	pending := oldest
	for e := oldest; e != nil; {
		// An entry belongs to its goroutine again once it is woken.
		next := e.next
		if e.last || len(s.w.buf) >= writeBytes || !s.fits(s.frameSize(e)) {
			pending = wake(pending, e, s.write())
		}
		if e.last {
			e.err = s.finish()
		} else {
			e.err = s.seal(e)
		}
		e = next
	}
	wake(pending, nil, s.write())
	if cap(s.w.buf) > keepBytes {
		s.w.buf = nil
	}
}

// wake tells the goroutines of the entries before end how theirs ended, and
// returns end. An entry may not be touched after its signal.
func wake(from, end *Entry, err error) *Entry {
	for from != end {
		next := from.next
		if from.err == nil {
			from.err = err
		}
		from.next = nil
		from.wake <- written
		from = next
	}
	return end
}

// seal appends an entry's frames to the buffer. Its error is of this entry alone.
func (s *Spool) seal(e *Entry) error {
	if err := s.makeRoom(s.frameSize(e)); err != nil {
		return err
	}
	c := &s.w.parts[e.Partition]
	if c.pseq == 0 {
		opened := &event.Envelope{Body: &event.Envelope_SpoolOpened{SpoolOpened: &event.SpoolOpened{
			Role: s.o.Role, Replica: s.o.Replica, Version: s.o.Version}}}
		if err := s.sealOwn(e.Partition, opened); err != nil {
			return err
		}
	}
	s.sealBody(e.Partition, e.Body)
	e.pseq = c.pseq
	return nil
}

// finish writes spool_closed into each partition that was used, and ends the
// spool. The buffer is empty before and after.
func (s *Spool) finish() error {
	for p := range s.w.parts {
		last := s.w.parts[p].pseq
		if last == 0 {
			continue
		}
		if len(s.w.buf) >= writeBytes || !s.fits(ownSize) {
			if err := s.write(); err != nil {
				return err
			}
		}
		if err := s.makeRoom(ownSize); err != nil {
			return err
		}
		closed := &event.Envelope{Body: &event.Envelope_SpoolClosed{SpoolClosed: &event.SpoolClosed{LastPseq: last}}}
		if err := s.sealOwn(int32(p), closed); err != nil {
			return err
		}
	}
	if err := s.write(); err != nil {
		return err
	}
	s.mu.Lock()
	last := &s.segments[len(s.segments)-1]
	last.open, last.size = false, s.w.off
	s.mu.Unlock()
	// Entries behind this one find it.
	_ = s.fail(ErrClosed)
	return nil
}

// ownSize is more than a frame of the spool's own needs, without the texts in it.
const ownSize = overhead + 128

// frameSize is the most that an entry adds to the segment.
func (s *Spool) frameSize(e *Entry) int64 {
	if e.last {
		return ownSize
	}
	n := int64(len(e.Body) + overhead)
	if s.w.parts[e.Partition].pseq == 0 {
		n += int64(ownSize + len(s.o.Role) + len(s.o.Replica) + len(s.o.Version))
	}
	return n
}

// fits says if the segment has room for n bytes more. A frame that no segment has
// room for gets one of its own.
func (s *Spool) fits(n int64) bool {
	have := s.w.off + int64(len(s.w.buf))
	return have == 0 || have+n <= s.o.SegmentBytes
}

// makeRoom begins another segment if need be; the buffer is empty then.
func (s *Spool) makeRoom(n int64) error {
	if err := s.Err(); err != nil {
		return err
	}
	if s.fits(n) {
		return nil
	}
	return s.rotate()
}

// sealOwn seals an event of the spool itself.
func (s *Spool) sealOwn(partition int32, env *event.Envelope) error {
	now := s.o.Now()
	id := event.NewID(now)
	env.Id, env.Spool, env.Partition = id[:], s.id, uint32(partition)
	env.SchemaVersion, env.OccurredAt, env.Org = event.SchemaVersion, now.UnixNano(), event.SystemOrg
	body, err := env.MarshalVT()
	if err != nil {
		return fmt.Errorf("BUG: cannot encode an event of the spool: %w", err)
	}
	s.sealBody(partition, body)
	return nil
}

// sealBody appends one frame to the buffer.
func (s *Spool) sealBody(partition int32, body []byte) {
	w := &s.w
	c := &w.parts[partition]
	start := len(w.buf)
	w.buf = beginFrame(w.buf, partition)
	record := len(w.buf)
	w.buf = append(w.buf, body...)
	c.pseq++
	w.buf, c.prev = event.AppendSeal(w.buf, record, c.pseq, &c.prev)
	endFrame(w.buf[start:])
	w.seq++
}

// write writes the buffer. A failed write is cut off again, as far as that goes,
// and ends the spool.
func (s *Spool) write() error {
	w := &s.w
	if len(w.buf) == 0 {
		return nil
	}
	if err := s.Err(); err != nil {
		w.buf = w.buf[:0]
		return err
	}
	n := int64(len(w.buf))
	_, err := w.file.WriteAt(w.buf, w.off)
	w.buf = w.buf[:0]
	if err != nil {
		return s.fail(errors.Join(fmt.Errorf("cannot write to spool %q: %w", s.dir, err), w.file.Truncate(w.off)))
	}
	w.off += n
	s.space.used(n, s.reserved.Load())
	if s.o.Sync == SyncAlways {
		if err := s.Sync(); err != nil {
			return err
		}
	}
	s.wrote(w.seq, n)
	if s.o.Sync == SyncInterval {
		select {
		case s.unsynced <- struct{}{}:
		default:
		}
	}
	return nil
}

// rotate ends the segment that is being written, if there is one, and begins the
// next. If the disk is full nothing has changed. The buffer is empty.
func (s *Spool) rotate() error {
	w := &s.w
	next, err := s.space.take()
	if err != nil {
		return err
	}
	s.syncing.Lock()
	defer s.syncing.Unlock()
	old := s.current
	if old != nil {
		// Only the last segment may have a torn end: this one must be whole on the disk
		// before there is a next.
		if err := errors.Join(old.Truncate(w.off), old.Datasync(), old.Close()); err != nil {
			return s.fail(fmt.Errorf("cannot end a segment of spool %q: %w", s.dir, err))
		}
	}
	// The name must be safe before anything in the file is promised to be.
	if err := errors.Join(os.Rename(next.path, s.path(w.seq)), syncDir(s.dir)); err != nil {
		return s.fail(fmt.Errorf("cannot begin a segment of spool %q: %w", s.dir, err))
	}
	s.current, w.file = next.file, next.file
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.segments); n > 0 {
		s.segments[n-1].open, s.segments[n-1].size = false, w.off
		s.space.used(s.o.SegmentBytes-w.off, s.reserved.Load())
	}
	s.segments = append(s.segments, segment{first: w.seq, start: s.end.Load(), open: true})
	w.off = 0
	return nil
}
