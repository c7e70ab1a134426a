// Package ship brings the records of a spool to Kafka, in order, at least once,
// and tells the spool what is there.
package ship

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/gateway/internal/spool"
	"github.com/tallygate/tallygate/gateway/internal/throttle"
	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/topic"
)

const (
	// linger is how long a record waits for others to share its batch.
	linger = 5 * time.Millisecond
	// aheadRecords and aheadBytes bound what is read ahead of Kafka's acknowledgements.
	// The spool is the real buffer.
	aheadRecords = 20_000
	aheadBytes   = 32 << 20
	// checkpointEvery is how often the spool's progress is written down.
	checkpointEvery = time.Second
	// pauseMin and pauseMax bound the pause after Kafka has refused a record.
	pauseMin = 250 * time.Millisecond
	pauseMax = 30 * time.Second
	// metadataMinAge is how soon the cluster is asked again for a topic that is not there yet.
	metadataMinAge = 500 * time.Millisecond
	// drainLook is how often Drain looks.
	drainLook = 5 * time.Millisecond
)

// NewClient returns a producer as shipping needs it: idempotent, acknowledged by
// all replicas in sync, to the partition that the record names, trying for ever.
// It serves several shippers and does not connect before it is used.
func NewClient(conf config.Kafka, replica string) (*kgo.Client, error) {
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(conf.Brokers...),
		kgo.ClientID("tallygate-gateway-"+replica),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(linger),
		kgo.ProducerBatchCompression(kgo.SnappyCompression()),
		// The live spool and one orphan at a time, each within its own bounds, always fit:
		// Produce never blocks.
		kgo.MaxBufferedRecords(4*aheadRecords),
		kgo.UnknownTopicRetries(-1),
		kgo.MetadataMinAge(metadataMinAge),
	)
	if err != nil {
		return nil, fmt.Errorf("cannot make a Kafka producer: %w", err)
	}
	return cl, nil
}

// Shipper ships one spool.
type Shipper struct {
	spool *spool.Log
	cl    *kgo.Client
	topic string

	ahead   ahead
	shipped atomic.Uint64
	refused atomic.Uint64
	trouble throttle.Throttle
}

// Options are what a Shipper may be given; all have defaults.
type Options struct {
	// Topic is where records go. Default topic.Requests.
	Topic string
	// Log is for trouble. Default slog.Default().
	Log *slog.Logger
}

// New returns a shipper of a spool, live or old. Run does the work.
func New(cl *kgo.Client, l *spool.Log, o Options) *Shipper {
	if o.Topic == "" {
		o.Topic = topic.Requests
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Shipper{spool: l, cl: cl, topic: o.Topic}
	s.ahead.init()
	s.trouble.Log = o.Log.With("spool", fmt.Sprintf("%016x", l.ID()))
	return s
}

// RunUntilDrained ships a spool that does not grow, and returns nil when Kafka has
// all of it.
func (s *Shipper) RunUntilDrained(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- s.Run(ctx)
		cancel()
	}()
	err := s.wait(ctx)
	cancel()
	if e := <-done; e != nil {
		return e
	}
	return err
}

// Run ships until ctx is done. Kafka being away is no error: Run tries on for
// ever. An error is one of the spool, which trying again does not mend.
func (s *Shipper) Run(ctx context.Context) error {
	checkpoints := make(chan struct{})
	go func() {
		defer close(checkpoints)
		s.checkpointOften(ctx)
	}()
	err := s.run(ctx)
	<-checkpoints
	return err
}

func (s *Shipper) run(ctx context.Context) error {
	pause := pauseMin
	for {
		before := s.spool.Acked()
		err := s.ship(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		// Kafka refused a record for good. Everything behind it is sent again, so that
		// its partition stays in order; what was there already is a duplicate, which
		// every consumer expects.
		if s.spool.Acked() > before {
			pause = pauseMin
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, pauseMax)
	}
}

// ship reads from the first record that is not acknowledged and produces, until
// ctx is done, the spool cannot be read, or Kafka refuses a record; in the last
// case it waits until nothing is under way, and returns nil.
func (s *Shipper) ship(ctx context.Context) error {
	r, err := s.spool.NewReader()
	if err != nil {
		return err
	}
	defer r.Close()
	defer s.ahead.begin()()
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			select {
			case <-ctx.Done():
				return nil
			case <-s.spool.More():
			case <-s.ahead.broken:
				return s.ahead.settled(ctx)
			}
			continue
		}
		if err != nil {
			return err
		}
		org, occurredAt, err := rec.Org()
		if err != nil {
			return fmt.Errorf("cannot read record %d of spool %q: %w", rec.Seq, s.spool.Dir(), err)
		}
		it := s.ahead.push(ctx, rec, occurredAt)
		if it == nil {
			if ctx.Err() != nil {
				return nil
			}
			return s.ahead.settled(ctx)
		}
		it.rec.Topic, it.rec.Partition, it.rec.Key, it.rec.Value = s.topic, rec.Partition, org, rec.Bytes
		// A record's context would take its whole batch with it: it has none.
		s.cl.Produce(context.Background(), &it.rec, s.promise)
	}
}

// promise is called by the client, one call at a time, when a record's fate is known.
func (s *Shipper) promise(r *kgo.Record, err error) {
	it := r.Context.Value(itemKey{}).(*item)
	if err != nil && !errors.Is(err, kgo.ErrClientClosed) {
		s.refused.Add(1)
		s.trouble.Warn("Kafka refused a record; it stays in the spool and is sent again", "partition", r.Partition, "error", err)
	}
	next, pos, count := s.ahead.finish(it, err)
	if count > 0 {
		s.shipped.Add(uint64(count))
		s.spool.Ack(next, pos)
	}
}

func (s *Shipper) checkpointOften(ctx context.Context) {
	for done := false; !done; {
		select {
		case <-ctx.Done():
			done = true
		case <-time.After(checkpointEvery):
		}
		if err := s.spool.Checkpoint(); err != nil {
			// The records are with Kafka all the same; only the disk is not freed.
			s.trouble.Warn("cannot write down what Kafka has of the spool; trying on", "error", err)
		}
	}
}

// Drain waits until Kafka has all that is in the spool, and writes that down.
// Run must be running.
func (s *Shipper) Drain(ctx context.Context) error {
	if err := s.wait(ctx); err != nil {
		return err
	}
	return s.spool.Checkpoint()
}

func (s *Shipper) wait(ctx context.Context) error {
	for s.spool.Acked() < s.spool.Next() {
		select {
		case <-ctx.Done():
			records, _ := s.spool.Unshipped()
			return fmt.Errorf("cannot bring %d records of spool %q to Kafka in time; they are shipped at the next start: %w",
				records, s.spool.Dir(), ctx.Err())
		case <-time.After(drainLook):
		}
	}
	return nil
}

// Stats are figures for metrics.
type Stats struct {
	// UnshippedRecords and UnshippedBytes are what Kafka has not acknowledged.
	UnshippedRecords uint64
	UnshippedBytes   int64
	// OldestUnshipped is how old the oldest event of these is, by the clock of this machine.
	OldestUnshipped time.Duration
	// Shipped counts acknowledged records, Refused those that Kafka would not take.
	Shipped, Refused uint64
}

// Stats returns the present figures.
func (s *Shipper) Stats() Stats {
	st := Stats{Shipped: s.shipped.Load(), Refused: s.refused.Load()}
	st.UnshippedRecords, st.UnshippedBytes = s.spool.Unshipped()
	if at := s.ahead.oldest(); at > 0 && st.UnshippedRecords > 0 {
		st.OldestUnshipped = max(time.Since(time.Unix(0, at)), 0)
	}
	return st
}
