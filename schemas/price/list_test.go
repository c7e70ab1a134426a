package price

import (
	"testing"
	"time"
)

func TestDefault(t *testing.T) {
	l := Default()
	if n := len(l.Models()); n < 45 {
		t.Fatalf("unexpected number of priced models; got %d; want at least 45", n)
	}
	t.Log(l.Version(), len(l.Models()))
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC).UnixNano()
	for _, m := range l.Models() {
		if l.Series(m.Provider, m.Name).At(now, 1000) == nil {
			t.Errorf("%s/%s has no price on 2026-11-22", m.Provider, m.Name)
		}
	}
}
