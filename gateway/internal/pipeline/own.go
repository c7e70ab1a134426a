package pipeline

import (
	"time"

	"github.com/tallygate/tallygate/gateway/internal/spool"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/topic"
)

// appendOwn writes an event that belongs to no single request into the spool.
func (p *Pipeline) appendOwn(org string, env *event.Envelope) error {
	now := time.Now()
	id := event.NewID(now)
	partition := topic.PartitionOf(org, p.Config.Kafka.Partitions)
	env.Id, env.Spool, env.Partition = id[:], p.Spool.ID(), uint32(partition)
	env.SchemaVersion, env.OccurredAt, env.Org = event.SchemaVersion, now.UnixNano(), org
	body, err := env.MarshalVT()
	if err != nil {
		return err
	}
	return p.Spool.Append(&spool.Entry{Partition: partition, Body: body})
}
