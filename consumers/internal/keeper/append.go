package keeper

import (
	"context"
	"time"

	"github.com/tallygate/tallygate/schemas/event"
)

const (
	// expireAtOnce bounds how many events are appended to a partition before they are read back.
	expireAtOnce = 64
	// tickPause is the shortest time between two ticks of a partition.
	tickPause = time.Second
)

// append writes the ledger's own events to the partitions that need one: a new
// policy version, holds that ended unheard of, or a tick that lets the fold's time
// reach their end. They take effect when they are read back.
func (k *Keeper) append(ctx context.Context) {
	for _, a := range k.accounts {
		if !a.caughtUp() || a.fold.Next() <= a.awaited {
			continue
		}
		due := k.eventsDue(a, time.Now())
		link := a.fold.Link()
		for _, ev := range due {
			setLink(ev, link)
			offset, err := k.author.append(ctx, a.partition, ev)
			if err != nil {
				k.log.Warn("append", "the keeper cannot append to the log; trying on", "partition", a.partition, "error", err)
				break
			}
			a.awaited = offset
			link = &event.LedgerLink{HasPrevious: true, PreviousOffset: offset}
			k.metrics.appended.Inc()
		}
	}
}

// eventsDue returns what a partition's ledger has to say, without the links.
func (k *Keeper) eventsDue(a *account, now time.Time) []*event.Envelope {
	var due []*event.Envelope
	if v := k.control.version.Load(); v > a.fold.PolicyVersion() {
		due = append(due, &event.Envelope{Org: event.SystemOrg, Body: &event.Envelope_PolicySeen{PolicySeen: &event.PolicySeen{Version: v}}})
	}
	for _, x := range a.fold.Expired(k.opts.HoldGrace, expireAtOnce) {
		due = append(due, &event.Envelope{Org: x.Org, Body: &event.Envelope_HoldExpired{HoldExpired: x.Event}})
	}
	if a.fold.TickDue(now, k.opts.HoldGrace) && now.Sub(a.ticked) >= tickPause {
		a.ticked = now
		due = append(due, &event.Envelope{Org: event.SystemOrg, Body: &event.Envelope_Tick{Tick: &event.Tick{}}})
	}
	return due
}

func setLink(ev *event.Envelope, link *event.LedgerLink) {
	switch b := ev.Body.(type) {
	case *event.Envelope_PolicySeen:
		b.PolicySeen.Link = link
	case *event.Envelope_HoldExpired:
		b.HoldExpired.Link = link
	case *event.Envelope_Tick:
		b.Tick.Link = link
	}
}
