package load

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Histograms count in steps of 100 ns up to a minute, with three digits.
const (
	histogramStep = 100 * time.Nanosecond
	histogramMax  = time.Minute
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(histogramMax/histogramStep), 3)
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	// What is beyond the bounds counts as the bound.
	_ = h.RecordValue(int64(min(max(d, histogramStep), histogramMax) / histogramStep))
}

// quantile returns the value below which a percentage of the recorded ones lie.
func quantile(h *hdrhistogram.Histogram, percent float64) time.Duration {
	return time.Duration(h.ValueAtQuantile(percent)) * histogramStep
}

// call is one request on its way.
type call struct {
	number int64
	stream bool
	// due is when it should have been sent, sent when it was.
	due, sent time.Time
}

// tally counts the calls of one measurement. It is safe for concurrent use.
type tally struct {
	scenario *Scenario
	target   string
	record   *Recorder
	// from is the end of the warm-up: calls that were due before it do not count.
	from time.Time
	// ended counts all calls that have ended, warm-up included.
	ended atomic.Int64

	mu      sync.Mutex
	calls   int64
	ok      int64
	failed  map[string]int64
	latency *hdrhistogram.Histogram // of calls that went well, from due to the last byte
	first   *hdrhistogram.Histogram // of streams that went well, from due to the first byte
	lag     *hdrhistogram.Histogram // from due to sent
}

func newTally(s *Scenario, target string, record *Recorder, from time.Time) *tally {
	return &tally{
		scenario: s, target: target, record: record, from: from, failed: map[string]int64{},
		latency: newHistogram(), first: newHistogram(), lag: newHistogram(),
	}
}

// finish counts a call that has ended: with an answer, or with an error that may
// have left part of one.
func (t *tally) finish(c *call, a *answer, err error) {
	end := time.Now()
	class := ""
	if err != nil {
		class = failureClass(a, err)
	} else {
		class = a.check(c.stream, !c.stream || !t.scenario.OmitUsage, t.scenario.OutputTokens)
	}
	if t.record != nil && a.status != 0 {
		t.record.add(t.target, c, a, class)
	}
	t.ended.Add(1)
	if c.due.Before(t.from) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls++
	record(t.lag, c.sent.Sub(c.due))
	if class != "" {
		t.failed[class]++
		return
	}
	t.ok++
	record(t.latency, end.Sub(c.due))
	if c.stream {
		record(t.first, a.firstByte.Sub(c.due))
	}
}

// errConnect says that no connection was to be had.
var errConnect = errors.New("cannot connect")

// failureClass names what went wrong with a call that has no whole answer.
func failureClass(a *answer, err error) string {
	switch {
	case errors.Is(err, errUnsent):
		return "unsent"
	case errors.Is(err, errConnect):
		return "connect"
	case errors.Is(err, errTimeout) || errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case errors.Is(err, errMalformed):
		return "malformed"
	case a.status != 0:
		return "cut"
	default:
		return "closed"
	}
}
