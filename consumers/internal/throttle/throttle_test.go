package throttle

import (
	"testing"
	"time"
)

func TestTake(t *testing.T) {
	var l Log
	now := time.Unix(0, 0)
	f := func(kind string, after time.Duration, wantDropped int, wantOK bool) {
		t.Helper()
		now = now.Add(after)
		if dropped, ok := l.take(kind, now); dropped != wantDropped || ok != wantOK {
			t.Fatalf("unexpected answer; got %d dropped, %v; want %d, %v", dropped, ok, wantDropped, wantOK)
		}
	}
	f("a", 0, 0, true)
	f("a", time.Second, 0, false)
	f("b", 0, 0, true)
	f("a", every-2*time.Second, 0, false)
	f("a", time.Second, 2, true)
	f("a", every, 0, true)
}
