package pipeline

import (
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tallygate/tallygate/schemas/event"
)

const (
	// denialsPerSecond of one (key, rule, code) are recorded each for itself;
	// further ones are counted, so that an attack cannot fill the log.
	denialsPerSecond = 10
	// denialKindsMax bounds the kinds that are counted apart within a second.
	denialKindsMax = 10_000
)

// denials records refused requests.
type denials struct {
	p      *Pipeline
	mu     sync.Mutex
	counts map[denialKind]*denialCount
}

type denialKind struct {
	org, key, rule, code string
	status               int
}

type denialCount struct {
	// single is how many were recorded each for itself.
	single int
	// event is the aggregate of the others, or nil.
	event *event.DenialsCounted
}

// record writes a denial, or counts it. Callers that are not known are always counted.
func (d *denials) record(r *Request, denial *Denial) error {
	kind := denialKind{org: r.org(), rule: denial.Rule, code: denial.Error.Code, status: denial.Error.Status}
	if r.key != nil {
		kind.key = r.key.ID
	}
	d.mu.Lock()
	if d.counts == nil {
		d.counts = map[denialKind]*denialCount{}
	}
	c := d.counts[kind]
	if c == nil {
		if len(d.counts) >= denialKindsMax {
			// Rules are the only part that an attacker could multiply.
			kind.rule = "_other"
			c = d.counts[kind]
		}
		if c == nil {
			c = &denialCount{}
			d.counts[kind] = c
		}
	}
	// A refusal takes no disk that was promised to a call: without room it is counted.
	if r.key != nil && c.single < denialsPerSecond && d.p.Spool.Reserve(recordBytes) == nil {
		c.single++
		d.mu.Unlock()
		defer d.p.Spool.Release(recordBytes)
		return r.recordDenied(denial)
	}
	defer d.mu.Unlock()
	if c.event == nil {
		r.fillDenied(denial)
		sample := proto.Clone(&r.refusal).(*event.Denied)
		ownStrings(sample)
		c.event = &event.DenialsCounted{
			Team: r.facts.Team, App: r.facts.App, Key: kind.key, Rule: kind.rule, Code: kind.code,
			Status: uint32(kind.status), FirstAt: r.now, Sample: sample,
		}
	}
	c.event.Count++
	c.event.LastAt = r.now
	return nil
}

// ownStrings copies the texts of a sample that are views of the request's memory.
func ownStrings(d *event.Denied) {
	f := d.Facts
	f.Model, f.EndUser, f.UserAgent = strings.Clone(f.Model), strings.Clone(f.EndUser), strings.Clone(f.UserAgent)
}

// run writes the counts each second until stop is closed, and once more then.
func (d *denials) run(stop <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			d.flush()
			return
		case <-tick.C:
			d.flush()
		}
	}
}

func (d *denials) flush() {
	d.mu.Lock()
	counts := d.counts
	d.counts = nil
	d.mu.Unlock()
	for kind, c := range counts {
		if c.event == nil {
			continue
		}
		if err := d.write(kind, c.event); err != nil {
			d.p.Log.Error("cannot record denials yet", "error", err, "key", kind.key, "code", kind.code, "count", c.event.Count)
			d.keep(kind, c.event)
		}
	}
}

func (d *denials) write(kind denialKind, counted *event.DenialsCounted) error {
	if err := d.p.Spool.Reserve(recordBytes); err != nil {
		return err
	}
	defer d.p.Spool.Release(recordBytes)
	return d.p.appendOwn(kind.org, &event.Envelope{Body: &event.Envelope_DenialsCounted{DenialsCounted: counted}})
}

// keep counts denials that could not be written to the next second.
func (d *denials) keep(kind denialKind, counted *event.DenialsCounted) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.counts == nil {
		d.counts = map[denialKind]*denialCount{}
	}
	c := d.counts[kind]
	if c == nil {
		c = &denialCount{}
		d.counts[kind] = c
	}
	if later := c.event; later != nil {
		counted.Count += later.Count
		counted.LastAt = later.LastAt
	}
	c.event = counted
}
