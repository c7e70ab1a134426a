package decide

import "time"

// Window is a span of time in nanoseconds since the Unix epoch, the end excluded.
type Window struct {
	Start, End int64
}

// Contains says if a moment lies in the window.
func (w Window) Contains(nanos int64) bool { return nanos >= w.Start && nanos < w.End }

// WindowKind is a budget's span.
type WindowKind uint8

// Kinds of windows, by the UTC calendar.
const (
	Total WindowKind = iota
	Minute
	Hour
	Day
	Week // from Monday
	Month
)

// endOfTime is the end of the window of a total budget.
const endOfTime = int64(^uint64(0) >> 1)

const (
	minuteNanos = int64(time.Minute)
	hourNanos   = int64(time.Hour)
	dayNanos    = 24 * hourNanos
	weekNanos   = 7 * dayNanos
	// The Unix epoch was a Thursday; the first Monday came four days later.
	firstMonday = 4 * dayNanos
)

// At returns the window that a moment lies in.
func (k WindowKind) At(nanos int64) Window {
	switch k {
	case Minute:
		return span(nanos, minuteNanos, 0)
	case Hour:
		return span(nanos, hourNanos, 0)
	case Day:
		return span(nanos, dayNanos, 0)
	case Week:
		return span(nanos, weekNanos, firstMonday)
	case Month:
		t := time.Unix(0, nanos).UTC()
		start := time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
		return Window{start.UnixNano(), start.AddDate(0, 1, 0).UnixNano()}
	}
	return Window{0, endOfTime}
}

func span(nanos, length, phase int64) Window {
	since := (nanos - phase) % length
	if since < 0 {
		since += length
	}
	return Window{nanos - since, nanos - since + length}
}
