//go:build !race

package event

import (
	"testing"
	"time"
)

func TestSealingDoesNotAllocate(t *testing.T) {
	e := samples()["envelope_completed"].(*Envelope)
	buf := make([]byte, 0, 64<<10)
	now := time.Now()
	var (
		prev Hash
		text [36]byte
	)
	if n := testing.AllocsPerRun(1000, func() {
		id := NewID(now)
		if _, err := id.AppendText(text[:0]); err != nil {
			t.Fatal(err)
		}
		copy(e.Id, id[:])
		size := e.SizeVT()
		if _, err := e.MarshalToSizedBufferVT(buf[:size]); err != nil {
			t.Fatal(err)
		}
		record, hash := AppendSeal(buf[:size], 0, 1, &prev)
		if _, err := OpenSeal(record); err != nil {
			t.Fatal(err)
		}
		prev = hash
	}); n != 0 {
		t.Fatalf("unexpected allocations per sealed record; got %v; want 0", n)
	}
}
