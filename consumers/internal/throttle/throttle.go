// Package throttle logs what can repeat: once in a while, with the number of lines left out.
package throttle

import (
	"log/slog"
	"sync"
	"time"
)

// every is the shortest time between two lines of one kind.
const every = 10 * time.Second

// Log writes at most one line of each kind per 10 s. The zero value is ready for
// use, by several goroutines at once. Kinds must be few: each is remembered.
type Log struct {
	mu    sync.Mutex
	kinds map[string]*kind
}

type kind struct {
	last    time.Time
	dropped int
}

// Warn logs a line of a kind, or counts it.
func (l *Log) Warn(kindName, msg string, args ...any) {
	if dropped, ok := l.take(kindName, time.Now()); ok {
		if dropped > 0 {
			args = append(args, "dropped", dropped)
		}
		slog.Warn(msg, args...)
	}
}

func (l *Log) take(name string, now time.Time) (dropped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kinds == nil {
		l.kinds = map[string]*kind{}
	}
	k := l.kinds[name]
	if k == nil {
		k = &kind{}
		l.kinds[name] = k
	}
	if !k.last.IsZero() && now.Sub(k.last) < every {
		k.dropped++
		return 0, false
	}
	dropped, k.dropped, k.last = k.dropped, 0, now
	return dropped, true
}
