package run

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/topic"
)

// deadValueMax and deadKeyMax are the most bytes of a record's value and key that its
// dead letter keeps, so that the letter itself is never too large for Kafka. The key is
// in it twice: as the letter's own as well.
const (
	deadValueMax = 900 << 10
	deadKeyMax   = 4 << 10
)

// deadRecord is a record that could not be used, and why.
type deadRecord struct {
	record *kgo.Record
	reason string
}

// setAside writes records to the dead letter topic, in the partition of the same number.
func (e *Engine) setAside(ctx context.Context, dead []deadRecord) error {
	if len(dead) == 0 {
		return nil
	}
	out := make([]*kgo.Record, len(dead))
	for i, d := range dead {
		r := d.record
		letter := event.DeadLetter{
			Topic: r.Topic, Partition: uint32(r.Partition), Offset: r.Offset, Timestamp: r.Timestamp.UnixNano(),
			Key: r.Key, Value: r.Value, Consumer: e.projection.Name(), Reason: d.reason,
		}
		if len(letter.Value) > deadValueMax {
			letter.Value = letter.Value[:deadValueMax]
			letter.Reason += fmt.Sprintf("; only the first %d of %d bytes are kept", deadValueMax, len(r.Value))
		}
		if len(letter.Key) > deadKeyMax {
			letter.Key = letter.Key[:deadKeyMax]
			letter.Reason += fmt.Sprintf("; only the first %d of the key's %d bytes are kept", deadKeyMax, len(r.Key))
		}
		value, err := letter.MarshalVT()
		if err != nil {
			return fmt.Errorf("cannot encode a dead letter: %w", err)
		}
		out[i] = &kgo.Record{Topic: topic.DeadLetter, Partition: r.Partition, Key: letter.Key, Value: value}
	}
	if err := e.client.ProduceSync(ctx, out...).FirstErr(); err != nil {
		return fmt.Errorf("cannot write to topic %q: %w", topic.DeadLetter, err)
	}
	for _, d := range dead {
		slog.Error("a record cannot be used; it was set aside", "projection", e.projection.Name(), "topic", d.record.Topic,
			"partition", d.record.Partition, "offset", d.record.Offset, "reason", d.reason)
	}
	e.metrics.dead.Add(len(dead))
	return nil
}

// record returns the batch's record at an offset.
func (b *batch) record(offset int64) *kgo.Record {
	i, ok := slices.BinarySearchFunc(b.records, offset, func(r *kgo.Record, o int64) int { return cmp.Compare(r.Offset, o) })
	if !ok {
		panic("BUG: a row of a record that is not in the batch")
	}
	return b.records[i]
}
