package spool

import (
	"errors"
	"fmt"
	"io"
	"os"

	"google.golang.org/protobuf/encoding/protowire"
)

// Record is one record of a spool as Kafka gets it.
type Record struct {
	// Seq is its number in the spool, from 1.
	Seq       uint64
	Partition int32
	// Bytes are the record with its seal. They stay valid.
	Bytes []byte
	// End is the position behind it, for Log.Ack.
	End int64
}

// Org returns the record's tenant and when its event happened, in nanoseconds
// since the Unix epoch.
func (r *Record) Org() (org []byte, occurredAt int64, err error) {
	for b := r.Bytes; len(b) > 0; {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, 0, protowire.ParseError(n)
		}
		b = b[n:]
		switch {
		case num == fieldOccurredAt && typ == protowire.Fixed64Type:
			v, n := protowire.ConsumeFixed64(b)
			if n < 0 {
				return nil, 0, protowire.ParseError(n)
			}
			occurredAt = int64(v)
		case num == fieldOrg && typ == protowire.BytesType:
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return nil, 0, protowire.ParseError(n)
			}
			// The fields of an envelope are written in order: time stands before org.
			return v, occurredAt, nil
		}
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return nil, 0, protowire.ParseError(n)
		}
		b = b[n:]
	}
	return nil, occurredAt, nil
}

// Reader reads a log in order. It is not safe for concurrent use.
type Reader struct {
	log *Log
	seq uint64
	// pos is the position of the next frame.
	pos int64
	// file is the segment it reads from, or nil.
	file *os.File
	cur  segment
	in   frames
}

// NewReader returns a reader that begins with the first record that Kafka has not
// acknowledged.
func (l *Log) NewReader() (*Reader, error) { return l.readerAt(l.Acked()) }

// readerAt returns a reader whose next record has the given sequence number.
func (l *Log) readerAt(seq uint64) (*Reader, error) {
	r := &Reader{log: l, seq: seq, pos: l.end.Load()}
	l.mu.Lock()
	for _, s := range l.segments {
		if s.first <= seq {
			r.seq, r.pos = s.first, s.start
		}
	}
	l.mu.Unlock()
	for r.seq < seq {
		if _, err := r.Next(); err != nil {
			return nil, errors.Join(fmt.Errorf("cannot find frame %d of spool %q: %w", seq, l.dir, err), r.Close())
		}
	}
	return r, nil
}

// Next returns the next record, or io.EOF if there is none now; More tells when
// to try again.
func (r *Reader) Next() (Record, error) {
	if r.pos >= r.log.end.Load() {
		return Record{}, io.EOF
	}
	if err := r.locate(); err != nil {
		return Record{}, err
	}
	frame, err := r.in.next()
	if err != nil {
		return Record{}, damaged(r.file.Name(), r.in.off, "%s", err)
	}
	partition, record, err := openFrame(frame)
	if err != nil {
		return Record{}, damaged(r.file.Name(), r.in.off-int64(len(frame)), "%s", err)
	}
	r.pos += int64(len(frame))
	out := Record{Seq: r.seq, Partition: partition, Bytes: record, End: r.pos}
	r.seq++
	return out, nil
}

// locate makes the reader's file the one in which the next frame is, and sets how
// far it may be read.
func (r *Reader) locate() error {
	if r.file != nil && r.pos < r.cur.start+r.in.limit {
		return nil
	}
	// What is written before end is in a segment that is in the list.
	end := r.log.end.Load()
	s, ok := r.log.segmentAt(r.pos)
	if !ok {
		return fmt.Errorf("BUG: no segment of spool %q holds position %d", r.log.dir, r.pos)
	}
	if r.file == nil || s.first != r.cur.first {
		if err := r.Close(); err != nil {
			return err
		}
		f, err := os.Open(r.log.path(s.first))
		if err != nil {
			return fmt.Errorf("cannot open spool segment: %w", err)
		}
		r.file, r.in = f, frames{r: f, off: r.pos - s.start}
	}
	r.cur = s
	if s.open {
		r.in.limit = end - s.start
	} else {
		r.in.limit = s.size
	}
	return nil
}

// segmentAt returns the segment that holds the byte at a position.
func (l *Log) segmentAt(pos int64) (segment, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.segments) - 1; i >= 0; i-- {
		if s := l.segments[i]; pos >= s.start {
			return s, s.open || pos < s.start+s.size
		}
	}
	return segment{}, false
}

// Close closes the reader's file.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}
