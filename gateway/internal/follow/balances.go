package follow

import (
	"context"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/topic"
)

// Balances follows the limits topic: what the ledger has counted, absolute, the
// latest of each budget.
type Balances struct {
	tail
	apply func(*event.Balance)
}

// NewBalances returns a follower. apply gets each balance in order, from one goroutine.
func NewBalances(conf config.Kafka, apply func(*event.Balance), log *slog.Logger) *Balances {
	return &Balances{tail: newTail(topic.Limits, conf, log), apply: apply}
}

// Run follows until ctx is done. While Kafka is away it tries on, also at the very
// start. An error is one that waiting does not mend.
func (b *Balances) Run(ctx context.Context) error {
	batch := func(records []*kgo.Record) {
		for _, r := range records {
			var balance event.Balance
			if err := balance.UnmarshalVT(r.Value); err != nil {
				b.log.Error("a balance cannot be read and is left out", "partition", r.Partition, "offset", r.Offset, "error", err)
				continue
			}
			b.apply(&balance)
		}
	}
	return b.run(ctx, nil, batch, func(context.Context, *kgo.Client) error { return nil })
}
