// Package keeper is the ledger at work in the log: it folds the partitions that it is
// given, publishes their balances as limits, and appends the ledger's own events. It
// needs no ClickHouse, so that limits are fed back while that is away.
//
// Two keepers of one partition do no harm: an event of one that does not name the
// latest is void for every reader, and balances are absolute.
package keeper

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/consumers/internal/projection"
	"github.com/tallygate/tallygate/consumers/internal/projection/ledger"
	"github.com/tallygate/tallygate/consumers/internal/run"
	"github.com/tallygate/tallygate/consumers/internal/throttle"
	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/topic"
)

// Group is the keepers' consumer group. It never commits: a fold begins at the start of the log.
const Group = "tallygate.keeper"

const (
	pollRecords = 10_000
	// wakeMax is the longest wait for records: ticks and new policy versions wait for it.
	wakeMax = 250 * time.Millisecond
	// publishPause is the shortest time between two publications, so that a burst of
	// calls becomes a few balances.
	publishPause = 25 * time.Millisecond
	// requestTimeout bounds one request to Kafka.
	requestTimeout = 10 * time.Second
)

// Options are what a keeper is made of.
type Options struct {
	Kafka config.Kafka
	// HoldGrace is added to a hold's end before it expires.
	HoldGrace time.Duration
	// Replica is the process's name in its events.
	Replica string
	// Client is added to the client's options, for tests.
	Client []kgo.Opt
}

// Keeper keeps the ledgers of the partitions that its group gives it.
type Keeper struct {
	opts    Options
	client  *kgo.Client
	admin   *kadm.Client
	control *control
	author  *author
	log     throttle.Log
	metrics *keeperMetrics

	// What follows belongs to the loop.
	accounts  map[int32]*account
	published time.Time

	// mu guards what follows: the group's callbacks and readers of the status run beside the loop.
	mu      sync.Mutex
	changes []change
	status  []string
}

// account is one partition's ledger.
type account struct {
	partition int32
	fold      *ledger.Fold
	// goal is the end of the partition as it was when it was taken over, or -1 while
	// that is not known. Before the fold is there, nothing is published or appended.
	goal int64
	// awaited is the offset of the last event appended here. Until it is read back, no
	// other is appended.
	awaited int64
	ticked  time.Time
}

// change is a partition that was taken over or given up.
type change struct {
	partition int32
	lost      bool
}

// caughtUp says if the fold has reached what the partition held when it was taken over.
func (a *account) caughtUp() bool { return a.goal >= 0 && a.fold.Next() >= a.goal }

// New returns a keeper. It does not dial before Run.
func New(o Options) (*Keeper, error) {
	k := &Keeper{opts: o, accounts: map[int32]*account{}, status: []string{"keeper waits for its consumer group in Kafka"}}
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(o.Kafka.Brokers...),
		kgo.ClientID("tallygate-keeper"),
		kgo.ConsumerGroup(Group),
		kgo.ConsumeTopics(topic.Requests),
		kgo.SessionTimeout(run.SessionTimeout),
		kgo.HeartbeatInterval(run.SessionTimeout / 5),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.FetchMaxBytes(16 << 20),
		kgo.MaxDecompressBatchBytes(64 << 20),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0),
		kgo.OnPartitionsAssigned(k.assigned),
		kgo.OnPartitionsRevoked(k.lost),
		kgo.OnPartitionsLost(k.lost),
	}, o.Client...)...)
	if err != nil {
		return nil, fmt.Errorf("cannot make the keeper's Kafka client: %w", err)
	}
	k.client, k.admin = client, kadm.NewClient(client)
	k.author = newAuthor(client, o.Replica)
	if k.control, err = newControl(o); err != nil {
		client.Close()
		return nil, err
	}
	k.metrics = newKeeperMetrics()
	return k, nil
}

// Run keeps the ledgers until the context ends, then closes its spool and leaves the group.
func (k *Keeper) Run(ctx context.Context) {
	defer k.metrics.unregister()
	defer k.client.Close()
	var following sync.WaitGroup
	defer following.Wait()
	following.Go(func() { k.control.run(ctx) })
	for ctx.Err() == nil {
		pollCtx, cancel := context.WithTimeout(ctx, k.nextWake())
		fetches := k.client.PollRecords(pollCtx, pollRecords)
		cancel()
		k.takeChanges()
		k.fold(fetches)
		k.findGoals(ctx)
		k.publish(ctx)
		k.append(ctx)
		k.report()
		k.client.AllowRebalance()
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	k.author.close(stopCtx)
}

// Status returns why the keeper is not at work, or nothing.
func (k *Keeper) Status() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.status
}

// fold applies what was polled.
func (k *Keeper) fold(fetches kgo.Fetches) {
	fetches.EachError(func(topic string, partition int32, err error) {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) {
			return
		}
		k.log.Warn("fetch", "the keeper cannot read from Kafka; trying on", "topic", topic, "partition", partition, "error", err)
	})
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		a := k.accounts[p.Partition]
		if a == nil {
			return
		}
		for _, r := range p.Records {
			rec, err := projection.Read(r.Topic, r.Partition, r.Offset, r.Timestamp, r.Value)
			if err != nil {
				// The projections set it aside. Here it is a gap in its spool's sequence.
				k.metrics.unreadable.Inc()
				a.fold.Skip(r.Offset)
				continue
			}
			a.fold.Apply(rec)
		}
		k.metrics.records.Add(len(p.Records))
	})
}

// findGoals asks for the ends of partitions that were just taken over.
func (k *Keeper) findGoals(ctx context.Context) {
	missing := false
	for _, a := range k.accounts {
		missing = missing || a.goal < 0
	}
	if !missing {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	starts, err := k.admin.ListStartOffsets(ctx, topic.Requests)
	if err != nil {
		k.log.Warn("ends", "the keeper cannot ask for the start of the log; trying on", "error", err)
		return
	}
	ends, err := k.admin.ListEndOffsets(ctx, topic.Requests)
	if err != nil {
		k.log.Warn("ends", "the keeper cannot ask for the end of the log; trying on", "error", err)
		return
	}
	for p, a := range k.accounts {
		start, ok := starts.Lookup(topic.Requests, p)
		end, ok2 := ends.Lookup(topic.Requests, p)
		if a.goal >= 0 || !ok || !ok2 || start.Err != nil || end.Err != nil {
			continue
		}
		a.goal = end.Offset
		if start.Offset == end.Offset {
			a.goal = 0 // There is nothing to read.
		}
	}
}

// nextWake is how long a poll may wait for records.
func (k *Keeper) nextWake() time.Duration {
	for _, a := range k.accounts {
		if a.caughtUp() && a.fold.Dirty() {
			return max(publishPause-time.Since(k.published), time.Millisecond)
		}
	}
	return wakeMax
}

func (k *Keeper) assigned(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	k.changed(partitions, false)
}

func (k *Keeper) lost(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	k.changed(partitions, true)
}

// changed leaves a change of the assignment to the loop: none comes between a poll
// and the next AllowRebalance.
func (k *Keeper) changed(partitions map[string][]int32, lost bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !lost {
		k.status = nil
	}
	for _, p := range partitions[topic.Requests] {
		k.changes = append(k.changes, change{p, lost})
	}
}

func (k *Keeper) takeChanges() {
	k.mu.Lock()
	changes := k.changes
	k.changes = nil
	k.mu.Unlock()
	for _, c := range changes {
		delete(k.accounts, c.partition)
		if !c.lost {
			k.accounts[c.partition] = &account{partition: c.partition, fold: ledger.New(c.partition), goal: -1, awaited: -1}
		}
	}
}

// report refreshes the status and the metrics.
func (k *Keeper) report() {
	behind := 0
	for _, a := range k.accounts {
		if !a.caughtUp() {
			behind++
		}
	}
	k.metrics.observe(k.accounts, behind)
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.status) > 0 && len(k.accounts) == 0 {
		return // Not in the group yet.
	}
	k.status = nil
	if behind > 0 {
		k.status = []string{fmt.Sprintf("keeper is folding %d partitions from the start of the log", behind)}
	}
}
