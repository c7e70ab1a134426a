package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// space allocates files ahead of need, so that what is reserved is on the disk
// already: a full disk refuses new calls and never loses one that was paid.
type space struct {
	disk    disk
	dir     string
	segment int64

	// free is what can be written without allocating: the rest of the segment that
	// is being written, and the spares.
	free atomic.Int64
	// wanted has a token when free is getting low.
	wanted chan struct{}

	mu     sync.Mutex
	spares []spare
	made   int
	// refused is when the disk last had no room.
	refused time.Time
	problem error
}

type spare struct {
	path string
	file file
}

// retryAfter is how long a full disk is not asked again.
const retryAfter = time.Second

// slack covers what is lost at the end of a segment, where the next frame does not fit.
func (p *space) slack() int64 { return min(p.segment/4, 2<<20) }

// ensure makes sure that reserved bytes can be written.
func (p *space) ensure(reserved int64) error {
	if p.free.Load() >= reserved+p.slack() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.free.Load() < reserved+p.slack() {
		if err := p.grow(); err != nil {
			return err
		}
	}
	return nil
}

// grow allocates a spare. p.mu is held.
func (p *space) grow() error {
	if p.problem != nil && time.Since(p.refused) < retryAfter {
		return p.problem
	}
	p.made++
	path := filepath.Join(p.dir, strconv.Itoa(p.made)+spareSuffix)
	f, err := p.disk.allocate(path, p.segment)
	if err != nil {
		p.refused, p.problem = time.Now(), fmt.Errorf("%w: %w", ErrFull, err)
		return p.problem
	}
	p.problem = nil
	p.spares = append(p.spares, spare{path, f})
	p.free.Add(p.segment)
	return nil
}

// take gives a spare away, to become a segment.
func (p *space) take() (spare, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.spares) == 0 {
		if err := p.grow(); err != nil {
			return spare{}, err
		}
	}
	s := p.spares[0]
	p.spares = p.spares[1:]
	return s, nil
}

// used counts bytes that were written, or given up at the end of a segment.
func (p *space) used(n, reserved int64) {
	if p.free.Add(-n) < reserved+p.segment/2 {
		select {
		case p.wanted <- struct{}{}:
		default:
		}
	}
}

// keepAhead allocates in the background, so that requests and the flusher rarely
// wait for it.
func (p *space) keepAhead(stop <-chan struct{}, reserved *atomic.Int64) {
	for {
		select {
		case <-stop:
			return
		case <-p.wanted:
		}
		// Who needs the space meets the error; here it is only early.
		_ = p.ensure(reserved.Load() + p.segment/2)
	}
}

// close removes the spares.
func (p *space) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, s := range p.spares {
		errs = append(errs, s.file.Close(), os.Remove(s.path))
	}
	p.spares = nil
	return errors.Join(errs...)
}
