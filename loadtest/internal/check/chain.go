package check

import (
	"fmt"

	"github.com/tallygate/tallygate/schemas/event"
)

// chainKey is whose sequence a chain is.
type chainKey struct {
	spool     uint64
	partition int32
}

func (k chainKey) String() string {
	return fmt.Sprintf("spool %016x partition %d", k.spool, k.partition)
}

// chain is what was seen of the records of one spool in one partition.
type chain struct {
	// first is the pseq with which it begins: 1, unless the log's start is gone.
	first uint64
	// hashes are those of first, first+1, …; those of records that were never met are zero.
	hashes []event.Hash
	closed bool
}

// take notes a record and says if it is new. What is wrong with its place is a defect.
func (c *chain) take(at string, s event.Seal, f *Findings) (fresh bool) {
	if len(c.hashes) == 0 {
		if s.Pseq < c.first || c.first == 0 {
			c.first = s.Pseq
		}
		if s.Pseq == 1 && s.Prev != (event.Hash{}) {
			f.add("broken chain", "%s: the first record names one before it", at)
		}
	}
	if s.Pseq < c.first {
		f.add("out of order", "%s: pseq %d comes after pseq %d, with which the chain began", at, s.Pseq, c.first)
		return false
	}
	i := s.Pseq - c.first
	next := uint64(len(c.hashes))
	switch {
	case i < next && c.hashes[i] == s.Hash:
		return false // the same record once more, as after a crash
	case i < next && c.hashes[i] != (event.Hash{}):
		f.add("forked chain", "%s: pseq %d is another record than the first time", at, s.Pseq)
		return false
	case i < next:
		f.add("out of order", "%s: pseq %d comes late", at, s.Pseq)
		c.hashes[i] = s.Hash
		return true
	case i > next:
		f.add("gap", "%s: pseq %d to %d are missing", at, c.first+next, s.Pseq-1)
		for ; next < i; next++ {
			c.hashes = append(c.hashes, event.Hash{})
		}
	case i > 0 && s.Prev != c.hashes[i-1]:
		f.add("broken chain", "%s: pseq %d does not name the record before it", at, s.Pseq)
	}
	if c.closed {
		f.add("after closing", "%s: pseq %d comes after the spool's last record", at, s.Pseq)
	}
	c.hashes = append(c.hashes, s.Hash)
	return true
}
