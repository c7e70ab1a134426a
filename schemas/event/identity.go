package event

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	mrand "math/rand/v2"
	"time"
)

// SchemaVersion is written into every event. A reader that meets a newer one
// sets the event aside and goes on.
const SchemaVersion = 1

// AnonymousOrg is the reserved org of callers that could not be identified.
const AnonymousOrg = "_anonymous"

// SystemOrg is the reserved org of events that belong to no tenant, such as the
// opening and closing of a spool.
const SystemOrg = "_system"

// ID is a UUIDv7: 48 bits of milliseconds, then 74 random bits.
type ID [16]byte

// NewID returns a fresh id for the given moment. Its randomness is that of a
// ChaCha8 generator seeded by the system; ids are unique, not secret.
func NewID(now time.Time) ID {
	var id ID
	ms := uint64(now.UnixMilli())
	binary.BigEndian.PutUint64(id[:8], ms<<16|mrand.Uint64()&0xfff|0x7000)
	binary.BigEndian.PutUint64(id[8:], mrand.Uint64()&(1<<62-1)|1<<63)
	return id
}

// AppendText appends the id in its usual form of 36 characters.
func (id ID) AppendText(dst []byte) ([]byte, error) {
	for i, n := range [...]int{4, 6, 8, 10, 16} {
		from := [...]int{0, 4, 6, 8, 10}[i]
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, id[from:n])
	}
	return dst, nil
}

// String returns the id in its usual form of 36 characters.
func (id ID) String() string {
	b, _ := id.AppendText(make([]byte, 0, 36))
	return string(b)
}

// NewSpool returns an id for a write-ahead log: random, never zero.
func NewSpool() uint64 {
	var b [8]byte
	for {
		if _, err := rand.Read(b[:]); err != nil {
			panic("BUG: crypto/rand does not fail: " + err.Error())
		}
		// The top bit stays clear so that the id also fits signed columns and tools.
		if id := binary.LittleEndian.Uint64(b[:]) &^ (1 << 63); id != 0 {
			return id
		}
	}
}
