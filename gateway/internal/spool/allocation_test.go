//go:build !race

package spool

import (
	"testing"
	"time"

	"github.com/tallygate/tallygate/schemas/event"
)

func TestAppendDoesNotAllocate(t *testing.T) {
	for _, mode := range []string{SyncAlways, SyncInterval, SyncNever} {
		o := options(t.TempDir())
		o.SegmentBytes, o.Sync = 16<<20, mode
		s := open(t, o)
		e := Entry{Partition: 1, Body: body(t, s, 1, event.NewID(time.Now()), completed, 500)}
		if n := testing.AllocsPerRun(1000, func() {
			if err := s.Reserve(1 << 10); err != nil {
				t.Fatal(err)
			}
			if err := s.Append(&e); err != nil {
				t.Fatal(err)
			}
			s.Release(1 << 10)
		}); n != 0 {
			t.Fatalf("unexpected allocations per Append with sync %q; got %v; want 0", mode, n)
		}
	}
}
