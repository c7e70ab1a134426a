// Package throttle logs trouble that can repeat.
package throttle

import (
	"log/slog"
	"sync"
	"time"
)

// quietFor is how long trouble is not logged again.
const quietFor = 10 * time.Second

// Throttle logs trouble that repeats, now and then, with how often it was not said.
// It is safe for concurrent use.
type Throttle struct {
	Log *slog.Logger

	mu      sync.Mutex
	last    time.Time
	dropped int
}

// Warn logs, or counts what it does not log.
func (t *Throttle) Warn(msg string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.last) < quietFor {
		t.dropped++
		return
	}
	t.Log.Warn(msg, append(args, "not_logged", t.dropped)...)
	t.last, t.dropped = time.Now(), 0
}
