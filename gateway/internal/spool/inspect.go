package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tallygate/tallygate/schemas/event"
)

// Report is what Inspect finds in a spool's folder.
type Report struct {
	ID  uint64
	Dir string
	// Opened is the first spool_opened that is still there, or nil.
	Opened *event.SpoolOpened
	// First and Next are the sequence numbers of the oldest record on disk and of
	// the one that would be written next.
	First, Next uint64
	// Acked is the first record that Kafka has not acknowledged, by the checkpoint.
	Acked uint64
	// Unshipped and UnshippedBytes are the records from there on, and their frames.
	Unshipped      uint64
	UnshippedBytes int64
	// Bytes are those of all frames on disk.
	Bytes    int64
	Segments int
	// Partitions are the sequences of the partitions that have records on disk.
	Partitions map[int32]*Sequence
	// Kinds counts the records on disk by the name of their event.
	Kinds map[string]int
	// Open are the requests without an end.
	Open OpenRequests
	// Problems are what is wrong, in the order of the files. The first ends the
	// inspection, unless it is a torn end, which is normal after a kill.
	Problems []error
}

// Sequence is what one partition has on disk.
type Sequence struct {
	First, Last uint64
	// Closed is true if the last event is spool_closed.
	Closed bool
	hash   event.Hash
}

// Inspect looks into a spool's folder and changes nothing. The spool may be in
// use: its end is then where it happens to be. Each record's seal and each
// partition's chain is checked.
func Inspect(dir string) (*Report, error) {
	id, ok := ParseFolder(filepath.Base(dir))
	if !ok {
		return nil, fmt.Errorf("cannot inspect %q: the folder's name is not the 16 hexadecimal digits of a spool's id", dir)
	}
	r := &Report{ID: id, Dir: dir, Partitions: map[int32]*Sequence{}, Kinds: map[string]int{}, Open: OpenRequests{}}
	firsts, _, err := listSegments(dir)
	if err != nil {
		return nil, err
	}
	through, open, err := readCarry(dir)
	if err != nil {
		r.Problems = append(r.Problems, err)
	} else {
		r.Open = open
	}
	if r.Acked, err = readCheckpoint(dir, id); err != nil {
		r.Problems = append(r.Problems, err)
	}
	r.First, r.Next = through, through
	for i, first := range firsts {
		if first < through {
			continue
		}
		r.Segments++
		path := filepath.Join(dir, segmentName(first))
		if first != r.Next {
			r.Problems = append(r.Problems, damaged(path, 0, "the segment with frame %d is missing before it", r.Next))
			break
		}
		if err := r.segment(path); err != nil {
			r.Problems = append(r.Problems, err)
			if i < len(firsts)-1 {
				break
			}
		}
	}
	return r, nil
}

// segment adds the records of one file.
func (r *Report) segment(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot open spool segment: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("cannot open spool segment: %w", err)
	}
	_, end, err := scan(f, info.Size(), r.record)
	switch {
	case errors.Is(err, errDamage), errors.Is(err, ErrDamaged):
		return damaged(path, end, "%s", err)
	case errors.Is(err, errFrame):
		return fmt.Errorf("file %q has the beginning of an unfinished write at offset %d, which is cut when the spool is adopted", path, end)
	}
	return err
}

// record adds one record. Its error wraps ErrDamaged.
func (r *Report) record(partition int32, record []byte) error {
	seal, err := event.OpenSeal(record)
	if err != nil {
		return fmt.Errorf("%w: record %d: %w", ErrDamaged, r.Next, err)
	}
	var env event.Envelope
	if err := env.UnmarshalVT(record); err != nil {
		return fmt.Errorf("%w: record %d: %w", ErrDamaged, r.Next, err)
	}
	s := r.Partitions[partition]
	if s == nil {
		s = &Sequence{First: seal.Pseq}
		r.Partitions[partition] = s
	} else if seal.Pseq != s.Last+1 || seal.Prev != s.hash {
		return fmt.Errorf("%w: record %d: pseq %d of partition %d does not follow %d", ErrDamaged, r.Next, seal.Pseq, partition, s.Last)
	}
	s.Last, s.hash, s.Closed = seal.Pseq, seal.Hash, env.GetSpoolClosed() != nil
	if r.Opened == nil {
		r.Opened = env.GetSpoolOpened()
	}
	r.Kinds[kind(&env)]++
	if err := r.Open.Apply(partition, record); err != nil {
		return fmt.Errorf("%w: record %d: %w", ErrDamaged, r.Next, err)
	}
	size := int64(len(record) + headerSize + partitionSize)
	r.Bytes += size
	if r.Next >= r.Acked {
		r.Unshipped++
		r.UnshippedBytes += size
	}
	r.Next++
	return nil
}

// kind is the name of the event that an envelope holds.
func kind(env *event.Envelope) string {
	m := env.ProtoReflect()
	if f := m.WhichOneof(m.Descriptor().Oneofs().ByName("body")); f != nil {
		return string(f.Name())
	}
	return "unknown"
}
