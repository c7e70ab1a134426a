// Package audit keeps the log's exact bytes in ClickHouse, and one row for each
// outcome of a request.
package audit

import (
	"github.com/tallygate/tallygate/consumers/internal/projection"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/topic"
)

// Name of the projection.
const Name = "audit"

// Audit is the projection. It keeps no state.
type Audit struct{}

// Name implements projection.Projection.
func (Audit) Name() string { return Name }

// Topics implements projection.Projection.
func (Audit) Topics() []string { return []string{topic.Requests} }

// Apply adds a row to events for every record, and one to requests if the record
// is an outcome.
func (Audit) Apply(rows *projection.Rows, rec *projection.Record) error {
	rows.Add(&EventRow{
		Topic: rec.Topic, Partition: uint32(rec.Partition), Offset: uint64(rec.Offset), AppendedAt: rec.AppendedAt,
		Spool: rec.Event.Spool, Pseq: rec.Seal.Pseq, ID: projection.UUID(rec.Event.Id),
		OccurredAt: projection.Moment(rec.Event.OccurredAt), Org: rec.Event.Org, Kind: projection.KindOf(rec.Event),
		SchemaVersion: rec.Event.SchemaVersion, Bytes: rec.Bytes,
	})
	switch b := rec.Event.Body.(type) {
	case *event.Envelope_Completed:
		rows.Add(completed(rec, b.Completed))
	case *event.Envelope_Denied:
		rows.Add(denied(rec, b.Denied))
	case *event.Envelope_Abandoned:
		rows.Add(abandoned(rec, b.Abandoned))
	case *event.Envelope_DenialsCounted:
		rows.Add(denialsCounted(rec, b.DenialsCounted))
	}
	return nil
}
