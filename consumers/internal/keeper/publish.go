package keeper

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/topic"
)

// publish sends the balances that changed to the limits topic: the partition is that
// of the requests, the key the budget. They are absolute, so that only the last one of
// each budget matters.
func (k *Keeper) publish(ctx context.Context) {
	if time.Since(k.published) < publishPause {
		return
	}
	var out []*kgo.Record
	taken := map[*account][]*event.Balance{}
	for _, a := range k.accounts {
		if !a.caughtUp() || !a.fold.Dirty() {
			continue
		}
		changed := a.fold.TakeChanged()
		taken[a] = changed
		for _, b := range changed {
			value, err := b.MarshalVT()
			if err != nil {
				panic("BUG: a balance can always be encoded: " + err.Error())
			}
			out = append(out, &kgo.Record{Topic: topic.Limits, Partition: a.partition, Key: []byte(b.Budget), Value: value})
		}
	}
	if len(out) == 0 {
		return
	}
	k.published = time.Now()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := k.client.ProduceSync(ctx, out...).FirstErr(); err != nil {
		k.log.Warn("publish", "the keeper cannot publish balances; trying on", "topic", topic.Limits, "balances", len(out), "error", err)
		for a, list := range taken {
			a.fold.MarkChanged(list)
		}
		return
	}
	k.metrics.balances.Add(len(out))
}
