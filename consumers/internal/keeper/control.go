package keeper

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/consumers/internal/throttle"
	"github.com/tallygate/tallygate/schemas/topic"
)

// control follows the control topic for the policy's version: the number of its records.
type control struct {
	client  *kgo.Client
	version atomic.Uint64
	log     throttle.Log
}

func newControl(o Options) (*control, error) {
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(o.Kafka.Brokers...),
		kgo.ClientID("tallygate-keeper-control"),
		kgo.ConsumeTopics(topic.Control),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(500 * time.Millisecond),
	}, o.Client...)...)
	if err != nil {
		return nil, fmt.Errorf("cannot make the Kafka client that follows the policy: %w", err)
	}
	return &control{client: client}, nil
}

func (c *control) run(ctx context.Context) {
	defer c.client.Close()
	for ctx.Err() == nil {
		fetches := c.client.PollFetches(ctx)
		fetches.EachError(func(topic string, _ int32, err error) {
			if !errors.Is(err, context.Canceled) && !errors.Is(err, kgo.ErrClientClosed) {
				c.log.Warn("fetch", "the keeper cannot follow the policy; trying on", "topic", topic, "error", err)
			}
		})
		fetches.EachRecord(func(r *kgo.Record) { c.version.Store(uint64(r.Offset) + 1) })
	}
}
