package event

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
)

// chain returns n sealed records of one (spool, partition) pair.
func chain(t *testing.T, n int) [][]byte {
	t.Helper()
	var (
		out  [][]byte
		prev Hash
	)
	for i := range n {
		e := &Envelope{Id: make([]byte, 16), Spool: 1, SchemaVersion: 1, OccurredAt: int64(i), Org: "acme",
			Body: &Envelope_Tick{Tick: &Tick{Link: &LedgerLink{HasPrevious: true, PreviousOffset: int64(i)}}}}
		record, err := e.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		// A record need not start its buffer.
		buf := append([]byte("frame"), record...)
		buf, hash := AppendSeal(buf, len("frame"), uint64(i+1), &prev)
		out, prev = append(out, buf[len("frame"):]), hash
	}
	return out
}

func TestSealChain(t *testing.T) {
	var prev Hash
	for i, record := range chain(t, 10) {
		s, err := OpenSeal(record)
		if err != nil {
			t.Fatal(err)
		}
		if s.Pseq != uint64(i+1) || s.Prev != prev {
			t.Fatalf("unexpected seal of record %d: %+v; want prev %x", i, s, prev)
		}
		// A protobuf reader that knows nothing of seals finds the same.
		var e Envelope
		if err := proto.Unmarshal(record, &e); err != nil {
			t.Fatal(err)
		}
		if e.Pseq != s.Pseq || !bytes.Equal(e.PrevHash, s.Prev[:]) || !bytes.Equal(e.Hash, s.Hash[:]) || e.GetTick() == nil {
			t.Fatalf("unexpected envelope of record %d: %v", i, &e)
		}
		prev = s.Hash
	}
}

// TestTamperingIsDetected changes, cuts and inserts at every place of a record.
func TestTamperingIsDetected(t *testing.T) {
	record := chain(t, 2)[1]
	honest, err := OpenSeal(record)
	if err != nil {
		t.Fatal(err)
	}
	f := func(what string, at int, tampered []byte) {
		t.Helper()
		if s, err := OpenSeal(tampered); err == nil {
			t.Fatalf("%s at byte %d goes unnoticed: %+v; honest: %+v", what, at, s, honest)
		} else if !errors.Is(err, ErrSeal) {
			t.Fatalf("unexpected error for %s at byte %d: %v", what, at, err)
		}
	}
	for i := range record {
		for bit := range 8 {
			changed := bytes.Clone(record)
			changed[i] ^= 1 << bit
			f("a flipped bit", i, changed)
		}
		f("a cut", i, record[:i])
		f("a missing byte", i, append(bytes.Clone(record[:i]), record[i+1:]...))
		f("a further byte", i, append(append(bytes.Clone(record[:i]), 0), record[i:]...))
	}
	f("a second seal's worth of bytes", len(record), append(bytes.Clone(record), make([]byte, SealSize)...))
}

func TestOpenSealErrors(t *testing.T) {
	for want, record := range map[string][]byte{
		"too short":             make([]byte, SealSize-1),
		"80 bytes of":           make([]byte, SealSize),
		"the seal says 0000000": append(append(append(append([]byte(nil), pseqTag...), make([]byte, 8)...), append(append([]byte(nil), prevTag...), make([]byte, 32)...)...), append(append([]byte(nil), hashTag...), make([]byte, 32)...)...),
	} {
		if _, err := OpenSeal(record); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("unexpected error; got %v; want one with %q", err, want)
		}
	}
}

func FuzzOpenSeal(f *testing.F) {
	var prev Hash
	sealed, _ := AppendSeal([]byte{8, 1}, 0, 1, &prev)
	f.Add(sealed)
	f.Add(make([]byte, SealSize))
	f.Fuzz(func(t *testing.T, record []byte) {
		s, err := OpenSeal(record)
		if err != nil {
			return
		}
		again, hash := AppendSeal(bytes.Clone(record[:len(record)-SealSize]), 0, s.Pseq, &s.Prev)
		if !bytes.Equal(again, record) || hash != s.Hash {
			t.Fatalf("a seal that opens must be the one that is appended: %x", record)
		}
	})
}
