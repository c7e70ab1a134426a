package ship

import (
	"log/slog"
	"sync"
	"time"
)

// quietFor is how long trouble is not logged again.
const quietFor = 10 * time.Second

// throttle logs trouble that repeats, now and then, with how often it was not said.
type throttle struct {
	log *slog.Logger

	mu      sync.Mutex
	last    time.Time
	dropped int
}

func (t *throttle) warn(msg string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.last) < quietFor {
		t.dropped++
		return
	}
	t.log.Warn(msg, append(args, "not_logged", t.dropped)...)
	t.last, t.dropped = time.Now(), 0
}
