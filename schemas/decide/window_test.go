package decide

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// calendar returns a window by the time package alone.
func calendar(k WindowKind, t time.Time) (start, end time.Time) {
	t = t.UTC()
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	switch k {
	case Minute:
		start = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), 0, 0, time.UTC)
		return start, start.Add(time.Minute)
	case Hour:
		start = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), 0, 0, 0, time.UTC)
		return start, start.Add(time.Hour)
	case Day:
		return day, day.AddDate(0, 0, 1)
	case Week:
		start = day.AddDate(0, 0, -(int(t.Weekday())+6)%7)
		return start, start.AddDate(0, 0, 7)
	}
	start = time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
	return start, start.AddDate(0, 1, 0)
}

func TestWindowsFollowTheCalendar(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	from := time.Date(1700, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	until := time.Date(2250, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	for range 20_000 {
		for _, k := range []WindowKind{Minute, Hour, Day, Week, Month} {
			at := from + int64(rnd.Uint64N(uint64(until-from)))
			start, end := calendar(k, time.Unix(0, at))
			w := k.At(at)
			if w.Start != start.UnixNano() || w.End != end.UnixNano() {
				t.Fatalf("unexpected window %d at %s; got %s to %s; want %s to %s", k, time.Unix(0, at).UTC(),
					time.Unix(0, w.Start).UTC(), time.Unix(0, w.End).UTC(), start, end)
			}
			// Every moment from start to end is in the same window, and end is the next one's start.
			for _, same := range []int64{w.Start, w.End - 1} {
				if k.At(same) != w || !w.Contains(same) {
					t.Fatalf("the window %d of %d is not that of its bound %d", k, at, same)
				}
			}
			if w.Contains(w.End) || w.Contains(w.Start-1) || k.At(w.End).Start != w.End {
				t.Fatalf("the window %d after %d does not start at its end", k, w.End)
			}
		}
	}
}

func TestTotalWindow(t *testing.T) {
	w := Total.At(time.Now().UnixNano())
	if w != (Window{0, math.MaxInt64}) || !w.Contains(0) || !w.Contains(math.MaxInt64-1) {
		t.Fatalf("unexpected total window: %+v", w)
	}
}
