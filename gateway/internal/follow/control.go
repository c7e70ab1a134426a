package follow

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/gateway/internal/throttle"
	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/policy"
	"github.com/tallygate/tallygate/schemas/topic"
)

// Control follows the control log, and brings it level with what the
// configuration declares.
type Control struct {
	tail
	state *policy.State
	// declared is what the configuration says; actor names it in events.
	declared []*event.Change
	actor    string
	publish  func(*policy.Snapshot)
}

// NewControl returns a follower. publish gets each new snapshot, the first one
// when the log has been read to its end and what is declared has been written.
func NewControl(conf config.Kafka, declared []*event.Change, actor string, publish func(*policy.Snapshot), log *slog.Logger) *Control {
	return &Control{tail: newTail(topic.Control, conf, log), state: policy.NewState(), declared: declared, actor: actor, publish: publish}
}

// Run follows until ctx is done. While Kafka is away it tries on, also at the very
// start. An error is one that waiting does not mend.
func (c *Control) Run(ctx context.Context) error {
	started := false
	batch := func(records []*kgo.Record) {
		c.apply(records)
		if started {
			c.publish(c.state.Compile())
		}
	}
	caughtUp := func(ctx context.Context, cl *kgo.Client) error {
		if err := c.declare(ctx, cl); err != nil {
			return err
		}
		started = true
		c.publish(c.state.Compile())
		return nil
	}
	return c.run(ctx, []kgo.Opt{kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchMaxBytes(topic.ControlMaxBytes)}, batch, caughtUp)
}

func (c *Control) apply(records []*kgo.Record) {
	for _, r := range records {
		var ev event.ControlEvent
		if err := ev.UnmarshalVT(r.Value); err != nil {
			// It changes nothing here, as it changes nothing for any other reader.
			c.log.Error("a control event cannot be read and changes nothing", "offset", r.Offset, "error", err)
			c.state.Version = uint64(r.Offset) + 1
			continue
		}
		if res := c.state.Apply(r.Offset, &ev); !res.Applied {
			c.log.Info("a control event changes nothing", "offset", r.Offset, "actor", ev.Actor, "reason", res.Reason)
		}
	}
}

// declare writes what the configuration declares and the log does not have, and
// reads on until that is so. Replicas that start at once write the same command;
// all but the first are no-ops.
func (c *Control) declare(ctx context.Context, cl *kgo.Client) error {
	trouble := throttle.Throttle{Log: c.log}
	for ctx.Err() == nil {
		ev := c.state.Diff(c.declared)
		if ev == nil {
			return nil
		}
		now := time.Now()
		id := event.NewID(now)
		ev.Id, ev.OccurredAt, ev.Actor, ev.Reason = id[:], now.UnixNano(), c.actor, "declared by the configuration"
		value, err := ev.MarshalVT()
		if err != nil {
			return fmt.Errorf("cannot encode the declared policy: %w", err)
		}
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: c.topic, Value: value}).FirstErr(); err != nil {
			trouble.Warn("cannot write the declared policy to the control log; trying on", "error", err)
			pause(ctx)
			continue
		}
		c.log.Info("the declared policy was written to the control log", "changes", len(ev.Changes))
		// The log decides what became of it: read on until there is news.
		for before := c.state.Version; c.state.Version == before && ctx.Err() == nil; {
			fetches := cl.PollFetches(ctx)
			if err := fetches.Err0(); err != nil && ctx.Err() == nil {
				trouble.Warn("cannot read the control log; trying on", "error", err)
			}
			c.apply(fetches.Records())
		}
	}
	return nil
}

func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(retryPause):
	}
}
