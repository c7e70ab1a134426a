package audit

import (
	"time"

	"github.com/google/uuid"

	"github.com/tallygate/tallygate/consumers/internal/projection"
)

// EventRow is a row of the table events.
type EventRow struct {
	Topic         string    `ch:"topic"`
	Partition     uint32    `ch:"partition"`
	Offset        uint64    `ch:"offset"`
	AppendedAt    time.Time `ch:"appended_at"`
	Spool         uint64    `ch:"spool"`
	Pseq          uint64    `ch:"pseq"`
	ID            uuid.UUID `ch:"id"`
	OccurredAt    time.Time `ch:"occurred_at"`
	Org           string    `ch:"org"`
	Kind          string    `ch:"kind"`
	SchemaVersion uint32    `ch:"schema_version"`
	Bytes         []byte    `ch:"bytes"`
}

// Table implements projection.Row.
func (*EventRow) Table() string { return "events" }

// Month implements projection.Row.
func (r *EventRow) Month() int { return projection.MonthOf(r.AppendedAt) }
