package check

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/schemas/topic"
)

// ReadLog reads the requests topic from its start to the end that it has now.
func ReadLog(ctx context.Context, brokers []string) (*Log, error) {
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...), kgo.ClientID("tallygate-check"),
		// With them every offset is seen, so that the end is reached for certain.
		kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(16<<20), kgo.MaxDecompressBatchBytes(64<<20), kgo.FetchMaxWait(200*time.Millisecond),
	)
	if err != nil {
		return nil, fmt.Errorf("cannot make a Kafka client: %w", err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	starts, err := offsets(ctx, adm.ListStartOffsets)
	if err != nil {
		return nil, err
	}
	ends, err := offsets(ctx, adm.ListEndOffsets)
	if err != nil {
		return nil, err
	}
	l := NewLog(len(ends))
	begin := map[int32]kgo.Offset{}
	left := map[int32]bool{}
	for p, start := range starts {
		l.startAt(p, start)
		begin[p] = kgo.NewOffset().At(start)
		if start < ends[p] {
			left[p] = true
		}
	}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic.Requests: begin})
	return l, l.poll(ctx, cl, ends, left)
}

// poll takes records until no partition is left to be read.
func (l *Log) poll(ctx context.Context, cl *kgo.Client, ends map[int32]int64, left map[int32]bool) error {
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("cannot read %s to its end: %w", topic.Requests, err)
		}
		var failed error
		fetches.EachError(func(_ string, p int32, err error) {
			failed = errors.Join(failed, fmt.Errorf("cannot read %s, partition %d: %w", topic.Requests, p, err))
		})
		if failed != nil {
			return failed
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset >= ends[r.Partition] {
				return
			}
			if !r.Attrs.IsControl() {
				l.Add(r.Partition, r.Offset, r.Value)
			}
			if r.Offset+1 == ends[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return nil
}

func offsets(ctx context.Context, list func(context.Context, ...string) (kadm.ListedOffsets, error)) (map[int32]int64, error) {
	listed, err := list(ctx, topic.Requests)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list the offsets of %s: %w", topic.Requests, err)
	}
	out := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) { out[o.Partition] = o.Offset })
	if len(out) == 0 {
		return nil, fmt.Errorf("the topic %s does not exist; start a gateway once, which makes it", topic.Requests)
	}
	for p := range int32(len(out)) {
		if _, ok := out[p]; !ok {
			return nil, fmt.Errorf("the topic %s has %d partitions, but none numbered %d", topic.Requests, len(out), p)
		}
	}
	return out, nil
}
