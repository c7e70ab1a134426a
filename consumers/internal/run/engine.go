// Package run drives a projection: it polls the log, cuts batches, has their rows
// inserted and commits, so that every record takes effect once, whatever is killed.
package run

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tallygate/tallygate/consumers/internal/projection"
	"github.com/tallygate/tallygate/consumers/internal/throttle"
	"github.com/tallygate/tallygate/schemas/config"
)

const (
	// pollRecords bounds what one poll hands over; it is what a lane may have to queue.
	pollRecords = 10_000
	// wakeMax is the longest wait for records, so that a shutdown or a rebalance is not kept waiting.
	wakeMax = time.Second
	// stopTimeout bounds the last flush of an orderly end.
	stopTimeout = 10 * time.Second
)

// SessionTimeout is how long the group waits for a member that was killed before
// others, or the same one started again, go on with its partitions.
const SessionTimeout = 10 * time.Second

// Group returns the consumer group of a projection.
func Group(name string) string { return "tallygate." + name }

// Store is where rows go.
type Store interface {
	projection.Executor
	// Insert stores rows, all or nothing for each table and month, and nothing if the
	// token was seen. Its error wraps clickhouse.ErrRejected if the rows are to blame.
	Insert(ctx context.Context, token string, rows []projection.Row) error
}

// Engine drives one projection as a member of its consumer group.
type Engine struct {
	projection projection.Projection
	store      Store
	cfg        config.Consumers
	client     *kgo.Client
	admin      *kadm.Client
	log        throttle.Log
	metrics    *engineMetrics

	// What follows belongs to the loop.
	lanes map[place]*lane
	// followed is how far the projection that is followed has committed, as of followedAt.
	followed   map[place]int64
	followedAt time.Time

	// mu guards what follows: the group's callbacks and readers of the status run beside the loop.
	mu      sync.Mutex
	notes   map[place]note
	changes []change
	joined  bool
	// fault is what keeps batches from being flushed, as of the last attempt.
	fault string
	// broken are partitions that cannot go on until an operator has acted.
	broken map[place]string
}

// change is a partition that was taken over, with what the group has committed for
// it, or given up. Callbacks leave changes for the loop: none comes between a poll and
// the next AllowRebalance.
type change struct {
	place
	lost bool
	note note
}

// place is a partition of a topic.
type place struct {
	topic     string
	partition int32
}

// New returns an engine. It does not dial before Run. The options come last, for tests.
func New(p projection.Projection, store Store, kafka config.Kafka, cfg config.Consumers, opts ...kgo.Opt) (*Engine, error) {
	e := &Engine{projection: p, store: store, cfg: cfg, lanes: map[place]*lane{}, notes: map[place]note{}, broken: map[place]string{}, followed: map[place]int64{}}
	e.metrics = newEngineMetrics(p.Name())
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(kafka.Brokers...),
		kgo.ClientID("tallygate-" + p.Name()),
		kgo.ConsumerGroup(Group(p.Name())),
		kgo.ConsumeTopics(p.Topics()...),
		kgo.SessionTimeout(SessionTimeout),
		kgo.HeartbeatInterval(SessionTimeout / 5),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		// A new group begins at the start of the log, see assigned. An offset that the log does not have
		// any more is an error: going on elsewhere would hide a loss.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.FetchMaxBytes(16 << 20),
		kgo.MaxDecompressBatchBytes(64 << 20),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.OnOffsetsFetched(e.offsetsFetched),
		kgo.AdjustFetchOffsetsFn(e.assigned),
		kgo.OnPartitionsRevoked(e.lost),
		kgo.OnPartitionsLost(e.lost),
	}, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("cannot make the Kafka client of projection %q: %w", p.Name(), err)
	}
	e.client, e.admin = client, kadm.NewClient(client)
	return e, nil
}

// Run drives the projection until the context ends; then it flushes once more and
// leaves the group. What it could not flush is done again by the next member.
func (e *Engine) Run(ctx context.Context) {
	defer e.metrics.unregister()
	defer e.client.Close()
	for ctx.Err() == nil {
		pollCtx, cancel := context.WithTimeout(ctx, e.nextWake(time.Now()))
		fetches := e.client.PollRecords(pollCtx, pollRecords)
		cancel()
		e.takeChanges()
		e.take(fetches)
		e.work(ctx, false)
		e.metrics.observe(e.lanes)
		e.client.AllowRebalance()
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	e.work(stopCtx, true)
}

// Status returns why the projection is not at work, or nothing.
func (e *Engine) Status() (reasons []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.joined {
		reasons = append(reasons, e.projection.Name()+" waits for its consumer group in Kafka")
	}
	if e.fault != "" {
		reasons = append(reasons, e.projection.Name()+": "+e.fault)
	}
	for _, reason := range e.broken {
		reasons = append(reasons, e.projection.Name()+": "+reason)
	}
	return reasons
}

// take queues what was polled, each record with its lane.
func (e *Engine) take(fetches kgo.Fetches) {
	fetches.EachError(func(topic string, partition int32, err error) {
		switch {
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, kgo.ErrClientClosed):
		case errors.Is(err, kerr.OffsetOutOfRange):
			reason := fmt.Sprintf("the log of %s, partition %d, does not have the committed offset any more: records were lost before they were read; "+
				"possible solutions: restore them; move the group %q to an offset that exists", topic, partition, Group(e.projection.Name()))
			e.setBroken(place{topic, partition}, reason)
			e.log.Warn("range", "cannot go on in a partition", "projection", e.projection.Name(), "reason", reason)
		default:
			e.log.Warn("fetch", "cannot read from Kafka; trying on", "projection", e.projection.Name(), "topic", topic, "partition", partition, "error", err)
		}
	})
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		l := e.lanes[place{p.Topic, p.Partition}]
		if l == nil {
			return // Lost meanwhile: its new owner reads it.
		}
		l.highWatermark = max(l.highWatermark, p.HighWatermark)
		l.queue = append(l.queue, p.Records...)
		e.metrics.records.Add(len(p.Records))
	})
}

// work moves queued records into batches and flushes those that are due.
func (e *Engine) work(ctx context.Context, stopping bool) {
	for {
		now := time.Now()
		var due []*lane
		for _, l := range e.lanes {
			e.fill(l, now)
			if l.due(now, e.cfg, stopping) && e.mayFollow(ctx, l, now) {
				due = append(due, l)
			}
		}
		e.flush(ctx, due)
		more := false
		for _, l := range e.lanes {
			e.balance(l)
			// A lane that filled up and was flushed goes on with its queue.
			more = more || len(l.queue) > 0 && l.batch.empty()
		}
		if !more || ctx.Err() != nil {
			return
		}
	}
}

// balance stops fetching for a lane that cannot take more, and starts it again.
func (e *Engine) balance(l *lane) {
	busy := len(l.queue) > 0 || l.failures > 0
	if busy == l.paused {
		return
	}
	l.paused = busy
	at := map[string][]int32{l.topic: {l.partition}}
	if busy {
		e.client.PauseFetchPartitions(at)
	} else {
		e.client.ResumeFetchPartitions(at)
	}
}

// mayFollow says if the projection that is followed has committed past the batch.
func (e *Engine) mayFollow(ctx context.Context, l *lane, now time.Time) bool {
	f, ok := e.projection.(projection.Follower)
	if !ok || l.batch.rows.Len() == 0 {
		return true
	}
	if e.followed[l.place] >= l.batch.end {
		return true
	}
	if now.Sub(e.followedAt) < followPause {
		return false
	}
	e.followedAt = now
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	offsets, err := e.admin.FetchOffsets(ctx, Group(f.Follows()))
	if err != nil {
		e.log.Warn("follow", "cannot ask how far a projection is; trying on", "projection", f.Follows(), "error", err)
		return false
	}
	offsets.Each(func(o kadm.OffsetResponse) {
		if o.Err == nil {
			e.followed[place{o.Topic, o.Partition}] = o.At
		}
	})
	return e.followed[l.place] >= l.batch.end
}

// nextWake is how long a poll may wait for records before a batch is due.
func (e *Engine) nextWake(now time.Time) time.Duration {
	wait := wakeMax
	for _, l := range e.lanes {
		if at, ok := l.dueAt(e.cfg); ok {
			wait = min(wait, at.Sub(now))
		}
	}
	// Also if a batch is due now: it may be waiting for the projection that is followed.
	return max(wait, 20*time.Millisecond)
}

// offsetsFetched notes what the group has committed, with the metadata, before
// the partitions are assigned.
func (e *Engine) offsetsFetched(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				e.notes[place{t.Topic, p.Partition}] = noteOf(p.Offset, p.Metadata)
			}
		}
	}
	return nil
}

// assigned leaves the partitions taken over to the loop and says where they begin:
// where the group has committed, or at the start of the log for a fold.
func (e *Engine) assigned(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.joined = true
	_, folds := e.projection.(projection.Folder)
	for topic, partitions := range offsets {
		for partition := range partitions {
			c := change{place: place{topic, partition}, note: note{committed: -1}}
			if n, ok := e.notes[c.place]; ok {
				c.note = n
			}
			e.changes = append(e.changes, c)
			if folds || c.note.committed < 0 {
				partitions[partition] = kgo.NewOffset().AtStart()
			}
		}
	}
	return offsets, nil
}

// lost leaves the partitions given up to the loop.
func (e *Engine) lost(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for topic, list := range partitions {
		for _, p := range list {
			e.changes = append(e.changes, change{place: place{topic, p}, lost: true})
		}
	}
}

// takeChanges opens and closes lanes. What a closed lane had not flushed is done
// again by whoever has the partition now.
func (e *Engine) takeChanges() {
	e.mu.Lock()
	changes := e.changes
	e.changes = nil
	e.mu.Unlock()
	folder, folds := e.projection.(projection.Folder)
	for _, c := range changes {
		e.setBroken(c.place, "")
		e.client.ResumeFetchPartitions(map[string][]int32{c.topic: {c.partition}})
		delete(e.lanes, c.place)
		if c.lost {
			continue
		}
		e.lanes[c.place] = newLane(c.place, c.note, folds)
		if folds {
			folder.Refold(c.topic, c.partition)
		}
	}
}

func (e *Engine) setFault(reason string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fault = reason
}

// setBroken notes why a partition cannot go on; an empty reason says that it may.
func (e *Engine) setBroken(at place, reason string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if reason == "" {
		delete(e.broken, at)
		return
	}
	e.broken[at] = reason
}
