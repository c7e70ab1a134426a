package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// Hash is a link of the chain over the records of one (spool, partition) pair.
type Hash [sha256.Size]byte

// SealSize is how many bytes AppendSeal adds to a record.
const SealSize = 10 + 35 + 35

// Wire bytes of the seal's tags: field 100 (fixed64), 101 and 102 (32 bytes each).
var (
	pseqTag = []byte{0xa1, 0x06}
	prevTag = []byte{0xaa, 0x06, sha256.Size}
	hashTag = []byte{0xb2, 0x06, sha256.Size}
)

// ErrSeal is wrapped by every error of OpenSeal.
var ErrSeal = errors.New("broken seal")

// Seal is the end of a record: its place in the sequence of its spool and
// partition, and the chain's link.
type Seal struct {
	Pseq uint64
	Prev Hash
	Hash Hash
}

// AppendSeal completes the record that starts at dst[start:] and returns the
// extended slice with the record's hash, which is prev of the next record.
func AppendSeal(dst []byte, start int, pseq uint64, prev *Hash) ([]byte, Hash) {
	dst = append(dst, pseqTag...)
	dst = binary.LittleEndian.AppendUint64(dst, pseq)
	dst = append(dst, prevTag...)
	dst = append(dst, prev[:]...)
	hash := Hash(sha256.Sum256(dst[start:]))
	dst = append(dst, hashTag...)
	dst = append(dst, hash[:]...)
	return dst, hash
}

// OpenSeal reads the seal of a record and checks its hash. The seal's Prev is not
// compared with anything: that takes the record before this one.
func OpenSeal(record []byte) (Seal, error) {
	var s Seal
	if len(record) < SealSize {
		return s, fmt.Errorf("%w: a record of %d bytes is too short to hold one; want at least %d", ErrSeal, len(record), SealSize)
	}
	end := record[len(record)-SealSize:]
	if !bytes.HasPrefix(end, pseqTag) || !bytes.HasPrefix(end[10:], prevTag) || !bytes.HasPrefix(end[45:], hashTag) {
		return s, fmt.Errorf("%w: the last %d bytes of the record are none", ErrSeal, SealSize)
	}
	s.Pseq = binary.LittleEndian.Uint64(end[2:])
	copy(s.Prev[:], end[13:])
	copy(s.Hash[:], end[48:])
	if got := Hash(sha256.Sum256(record[:len(record)-35])); got != s.Hash {
		return s, fmt.Errorf("%w: pseq %d: the record's bytes hash to %016x, the seal says %016x", ErrSeal, s.Pseq,
			binary.BigEndian.Uint64(got[:]), binary.BigEndian.Uint64(s.Hash[:]))
	}
	return s, nil
}
