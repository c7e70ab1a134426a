package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
)

// Log is the segments of one spool, for reading them in order and for letting go
// of what Kafka has. That of a running process grows; that of a dead one does not.
type Log struct {
	dir  string
	id   uint64
	disk disk

	// end is the position up to which frames are written and may be read, and next
	// the sequence number of the frame that will stand there.
	end  atomic.Int64
	next atomic.Uint64
	// begin is the position of the oldest byte on disk.
	begin atomic.Int64
	// more holds a token when end has moved since someone last waited.
	more chan struct{}

	// saving lets one Checkpoint run at a time.
	saving sync.Mutex
	mu     sync.Mutex
	// segments are those on disk, oldest first.
	segments []segment
	// acked is the first sequence number that Kafka has not acknowledged, at position ackedAt.
	acked   uint64
	ackedAt int64
	// saved is the acked that the checkpoint file says; gone is true after Discard.
	// These three are guarded by saving.
	saved uint64
	gone  bool
	// ballast is the file that is given up on a full disk; empty if there is none.
	ballast string
}

// folderName is the name of a spool's folder.
func folderName(id uint64) string { return fmt.Sprintf("%016x", id) }

// ParseFolder reads a spool's id from its folder's name.
func ParseFolder(name string) (id uint64, ok bool) {
	id, err := strconv.ParseUint(name, 16, 64)
	return id, err == nil && folderName(id) == name
}

// OpenLog opens the folder of a spool whose process is dead. The remains of a
// write that did not finish are cut; damage anywhere else is an error that wraps
// ErrDamaged. No process may have the spool open.
func OpenLog(dir string) (*Log, error) {
	id, ok := ParseFolder(filepath.Base(dir))
	if !ok {
		return nil, fmt.Errorf("cannot open spool %q: the folder's name is not the 16 hexadecimal digits of a spool's id", dir)
	}
	l := &Log{dir: dir, id: id, disk: osDisk{}, more: make(chan struct{}, 1)}
	if err := l.load(); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *Log) load() error {
	firsts, leftovers, err := listSegments(l.dir)
	if err != nil {
		return err
	}
	for _, path := range leftovers {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("cannot tidy spool folder: %w", err)
		}
	}
	through, _, err := readCarry(l.dir)
	if err != nil {
		return err
	}
	next := through
	for i, first := range firsts {
		path := l.path(first)
		if first < through {
			// Its open requests are carried over; only its deletion did not happen.
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("cannot remove spool segment: %w", err)
			}
			continue
		}
		if first != next {
			return damaged(path, 0, "the segment with frame %d is missing before it", next)
		}
		count, size, err := repairSegment(path, i == len(firsts)-1)
		if err != nil {
			return err
		}
		l.segments = append(l.segments, segment{first: first, start: l.end.Load(), size: size})
		l.end.Add(size)
		next += count
	}
	l.next.Store(next)
	return l.loadCheckpoint(through)
}

func (l *Log) loadCheckpoint(through uint64) error {
	acked, err := readCheckpoint(l.dir, l.id)
	if err != nil {
		return err
	}
	// More may be acknowledged than is there: what Kafka had, and the disk had not
	// when the power went.
	l.acked = min(max(acked, through), l.next.Load())
	l.saved = acked
	r, err := l.readerAt(l.acked)
	if err != nil {
		return err
	}
	defer r.Close()
	l.ackedAt = r.pos
	return nil
}

// ID returns the spool's id.
func (l *Log) ID() uint64 { return l.id }

// Dir returns the spool's folder.
func (l *Log) Dir() string { return l.dir }

// More returns a channel that gives a token after records were written. One reader may wait.
func (l *Log) More() <-chan struct{} { return l.more }

// Next returns the sequence number of the record that will be written next. The
// first is 1.
func (l *Log) Next() uint64 { return l.next.Load() }

// Acked returns the first sequence number that Kafka has not acknowledged.
func (l *Log) Acked() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

// Bytes returns how many bytes of frames are on disk.
func (l *Log) Bytes() int64 { return l.end.Load() - l.begin.Load() }

// Unshipped returns how many records Kafka has not acknowledged, and their bytes
// on disk.
func (l *Log) Unshipped() (records uint64, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next.Load() - l.acked, l.end.Load() - l.ackedAt
}

// Ack says that Kafka has every record before next, which stands at position pos.
// It takes effect on disk with the next Checkpoint.
func (l *Log) Ack(next uint64, pos int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if next > l.acked {
		l.acked, l.ackedAt = next, pos
	}
}

// Checkpoint writes down what was acknowledged and deletes the segments that
// Kafka has whole. After a crash at any point, every record that Kafka does not
// have is still there, and every open request is found.
func (l *Log) Checkpoint() error {
	l.saving.Lock()
	defer l.saving.Unlock()
	if l.gone {
		return nil
	}
	err := l.checkpoint()
	if errors.Is(err, syscall.ENOSPC) && l.dropBallast() {
		err = l.checkpoint()
	}
	if err == nil {
		l.loadBallast()
	}
	return err
}

// checkpoint is Checkpoint with saving held, on a disk that has room.
func (l *Log) checkpoint() error {
	l.mu.Lock()
	acked := l.acked
	var whole []segment
	for _, s := range l.segments {
		if !s.open && s.start+s.size <= l.ackedAt {
			whole = append(whole, s)
		}
	}
	l.mu.Unlock()
	if acked != l.saved {
		if err := writeCheckpoint(l.disk, l.dir, l.id, acked); err != nil {
			return err
		}
		l.saved = acked
	}
	if len(whole) == 0 {
		return nil
	}
	return l.drop(whole)
}

// drop deletes the oldest segments, once their open requests are carried over.
func (l *Log) drop(whole []segment) error {
	through, open, err := readCarry(l.dir)
	if err != nil {
		return err
	}
	for _, s := range whole {
		count, err := l.each(s, open.Apply)
		if err != nil {
			return err
		}
		through = s.first + count
	}
	if err := writeCarry(l.disk, l.dir, through, open); err != nil {
		return err
	}
	var errs []error
	for _, s := range whole {
		errs = append(errs, os.Remove(l.path(s.first)))
	}
	if err := errors.Join(append(errs, syncDir(l.dir))...); err != nil {
		return fmt.Errorf("cannot delete spool segments: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = l.segments[len(whole):]
	last := whole[len(whole)-1]
	l.begin.Store(last.start + last.size)
	return nil
}

// each calls fn for each record of a whole segment.
func (l *Log) each(s segment, fn func(partition int32, record []byte) error) (count uint64, err error) {
	path := l.path(s.first)
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("cannot open spool segment: %w", err)
	}
	defer f.Close()
	count, end, err := scan(f, s.size, fn)
	if err != nil {
		return count, damaged(path, end, "%s", err)
	}
	return count, nil
}

// OpenRequests returns the requests that have no end in a spool that does not grow.
func (l *Log) OpenRequests() (OpenRequests, error) {
	_, open, err := readCarry(l.dir)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	segments := l.segments
	l.mu.Unlock()
	for _, s := range segments {
		if _, err := l.each(s, open.Apply); err != nil {
			return nil, err
		}
	}
	return open, nil
}

// Remove deletes the folder of a spool that does not grow, if Kafka has all of it
// and no request in it is open. Otherwise it stays, for the next process to adopt.
func (l *Log) Remove() error {
	if n, _ := l.Unshipped(); n > 0 {
		return nil
	}
	if open, err := l.OpenRequests(); err != nil || len(open) > 0 {
		return err
	}
	return l.Discard()
}

// Discard deletes the spool's folder. The caller has made sure that Kafka has all
// of it and that every request in it has an end.
func (l *Log) Discard() error {
	l.saving.Lock()
	defer l.saving.Unlock()
	l.gone = true
	if err := os.RemoveAll(l.dir); err != nil {
		return fmt.Errorf("cannot remove spool folder: %w", err)
	}
	return syncDir(filepath.Dir(l.dir))
}

func (l *Log) path(first uint64) string { return filepath.Join(l.dir, segmentName(first)) }

// wrote makes what was written visible to readers.
func (l *Log) wrote(next uint64, bytes int64) {
	l.next.Store(next)
	l.end.Add(bytes)
	select {
	case l.more <- struct{}{}:
	default:
	}
}
