// Package follow keeps this process level with the two topics that decisions
// depend on: the control log, which is the policy, and the limits topic, which is
// what the ledger has counted. Both are read from their start, and then for ever.
package follow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tallygate/tallygate/gateway/internal/throttle"
	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/topic"
	"github.com/tallygate/tallygate/schemas/topic/admin"
)

const (
	// retryPause is between tries while Kafka is away.
	retryPause = 500 * time.Millisecond
	// fetchWait is how long a broker may hold back an empty answer. It is also the
	// granularity of Age.
	fetchWait = 500 * time.Millisecond
	// metadataMinAge is how soon the cluster is asked again for a topic that was just made.
	metadataMinAge = 250 * time.Millisecond
)

// tail reads every partition of one topic in the order of its offsets.
type tail struct {
	topic string
	// topics are made if they are missing, and checked.
	topics []topic.Topic
	conf   config.Kafka
	log    *slog.Logger
	// lastContact is when a broker last said what is new, or that nothing is:
	// nanoseconds since the Unix epoch.
	lastContact atomic.Int64
	ready       chan struct{}
}

func newTail(name string, conf config.Kafka, log *slog.Logger) tail {
	return tail{topic: name, topics: topic.All(), conf: conf, log: log.With("topic", name), ready: make(chan struct{})}
}

// Ready is closed when the topic has been read to the end that it had at the start.
func (t *tail) Ready() <-chan struct{} { return t.ready }

// Age is how long ago a broker last said what is new in the topic, or that nothing
// is: how old the state may be. It is zero before the first time.
func (t *tail) Age() time.Duration {
	at := t.lastContact.Load()
	if at == 0 {
		return 0
	}
	return time.Since(time.Unix(0, at))
}

// OnBrokerRead notes each answer to a fetch. A poll would not tell of empty ones.
func (t *tail) OnBrokerRead(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if err == nil && key == int16(kmsg.Fetch) {
		t.lastContact.Store(time.Now().UnixNano())
	}
}

var _ kgo.HookBrokerRead = (*tail)(nil)

// run reads until ctx is done. batch gets the records of one poll; caughtUp is
// called once, after the batch that reached the end. An error is one that waiting
// does not mend.
func (t *tail) run(ctx context.Context, opts []kgo.Opt, batch func([]*kgo.Record), caughtUp func(context.Context, *kgo.Client) error) error {
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(t.conf.Brokers...),
		kgo.ConsumeTopics(t.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(fetchWait),
		kgo.UnknownTopicRetries(-1),
		kgo.MetadataMinAge(metadataMinAge),
		kgo.WithHooks(t),
	}, opts...)...)
	if err != nil {
		return fmt.Errorf("cannot make a Kafka client for topic %q: %w", t.topic, err)
	}
	defer cl.Close()
	ends, err := t.ends(ctx, cl)
	if err != nil {
		return err
	}
	caught := false
	trouble := throttle.Throttle{Log: t.log}
	for {
		if !caught && len(ends) == 0 {
			caught = true
			if err := caughtUp(ctx, cl); err != nil {
				return err
			}
			close(t.ready)
		}
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		fetches.EachError(func(_ string, p int32, err error) {
			trouble.Warn("cannot read from Kafka; the state in memory stays in use", "partition", p, "error", err)
		})
		if records := fetches.Records(); len(records) > 0 {
			batch(records)
			for _, r := range records {
				if end, ok := ends[r.Partition]; ok && r.Offset+1 >= end {
					delete(ends, r.Partition)
				}
			}
		}
	}
}

// ends returns the end offset of each partition that has records. Nothing of ours
// writes transactions or tombstones to these topics, so the record before the end
// is there to be read.
func (t *tail) ends(ctx context.Context, cl *kgo.Client) (map[int32]int64, error) {
	trouble := throttle.Throttle{Log: t.log}
	for {
		ends, err := t.tryEnds(ctx, cl)
		switch {
		case err == nil:
			t.lastContact.Store(time.Now().UnixNano())
			return ends, nil
		case errors.Is(err, admin.ErrUnfit):
			return nil, err
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		trouble.Warn("Kafka is not reachable yet; trying on", "brokers", t.conf.Brokers, "error", err)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(retryPause):
		}
	}
}

func (t *tail) tryEnds(ctx context.Context, cl *kgo.Client) (map[int32]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := admin.Ensure(ctx, cl, t.conf, t.topics); err != nil {
		return nil, err
	}
	adm := kadm.NewClient(cl)
	listed, err := adm.ListEndOffsets(ctx, t.topic)
	if err != nil {
		return nil, err
	}
	starts, err := adm.ListStartOffsets(ctx, t.topic)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(listed.Error(), starts.Error()); err != nil {
		return nil, err
	}
	ends := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) {
		if start, ok := starts.Lookup(o.Topic, o.Partition); !ok || start.Offset < o.Offset {
			ends[o.Partition] = o.Offset
		}
	})
	return ends, nil
}
