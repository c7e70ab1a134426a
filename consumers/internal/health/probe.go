package health

import (
	"context"
	"sync"
	"time"

	"github.com/tallygate/tallygate/consumers/internal/throttle"
)

const (
	probePause   = 2 * time.Second
	probeTimeout = 3 * time.Second
)

// Probe asks again and again if something outside is there.
type Probe struct {
	name string
	ask  func(context.Context) error
	log  throttle.Log

	mu     sync.Mutex
	reason string
}

// NewProbe returns a probe of the named thing, which counts as away until it has answered.
func NewProbe(name string, ask func(context.Context) error) *Probe {
	return &Probe{name: name, ask: ask, reason: name + " has not answered yet"}
}

// Reasons says why the thing is not there, or nothing.
func (p *Probe) Reasons() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reason == "" {
		return nil
	}
	return []string{p.reason}
}

// Run asks until the context ends.
func (p *Probe) Run(ctx context.Context) {
	for ctx.Err() == nil {
		askCtx, cancel := context.WithTimeout(ctx, probeTimeout)
		err := p.ask(askCtx)
		cancel()
		reason := ""
		if err != nil {
			reason = p.name + " is away: " + err.Error()
			if ctx.Err() == nil {
				p.log.Warn("away", p.name+" is away; trying on", "error", err)
			}
		}
		p.mu.Lock()
		p.reason = reason
		p.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(probePause):
		}
	}
}
