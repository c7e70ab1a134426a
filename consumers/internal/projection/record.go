package projection

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tallygate/tallygate/schemas/event"
)

// Record is one record of the log, read and checked.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	// AppendedAt is the broker's time.
	AppendedAt time.Time
	// Bytes are the record's exact bytes. They are not kept by the event, but rows may keep them.
	Bytes []byte
	Seal  event.Seal
	Event *event.Envelope
}

// ErrUnreadable is wrapped by every error of Read: the record can never be applied.
var ErrUnreadable = errors.New("unreadable event")

// Read opens the record that stands at a position of the log.
func Read(topic string, partition int32, offset int64, appendedAt time.Time, value []byte) (*Record, error) {
	seal, err := event.OpenSeal(value)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	ev := new(event.Envelope)
	if err := ev.UnmarshalVT(value); err != nil {
		return nil, fmt.Errorf("%w: cannot decode it: %w", ErrUnreadable, err)
	}
	if err := check(ev, partition); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return &Record{Topic: topic, Partition: partition, Offset: offset, AppendedAt: appendedAt, Bytes: value, Seal: seal, Event: ev}, nil
}

// check refuses what would break a fold: all readers must agree on what counts.
func check(ev *event.Envelope, partition int32) error {
	switch {
	case ev.SchemaVersion == 0 || ev.SchemaVersion > event.SchemaVersion:
		return fmt.Errorf("schema version %d is not one from 1 to %d; a newer consumer may read it", ev.SchemaVersion, event.SchemaVersion)
	case len(ev.Id) != len(uuid.UUID{}):
		return fmt.Errorf("its id has %d bytes, not 16", len(ev.Id))
	case ev.Spool == 0:
		return errors.New("it names no spool")
	case ev.Pseq == 0:
		return errors.New("its pseq is zero; they count from 1")
	case ev.Partition != uint32(partition):
		return fmt.Errorf("it says that it belongs to partition %d, and stands in %d", ev.Partition, partition)
	case ev.Body == nil:
		return errors.New("its kind is unknown")
	}
	switch b := ev.Body.(type) {
	case *event.Envelope_Admitted:
		return errors.Join(checkRequest(b.Admitted.GetFacts().GetRequestId()), checkHolds(b.Admitted.Holds))
	case *event.Envelope_Completed:
		if b.Completed.CostNanos < 0 || b.Completed.CostAvoidedNanos < 0 {
			return errors.New("its cost is negative")
		}
		return errors.Join(checkRequest(b.Completed.GetFacts().GetRequestId()), checkSettlements(b.Completed.Settlements))
	case *event.Envelope_Abandoned:
		return errors.Join(checkRequest(b.Abandoned.GetFacts().GetRequestId()), checkSettlements(b.Abandoned.Settlements))
	case *event.Envelope_Denied:
		return checkRequest(b.Denied.GetFacts().GetRequestId())
	case *event.Envelope_HoldExpired:
		return errors.Join(checkRequest(b.HoldExpired.RequestId), checkSettlements(b.HoldExpired.Settlements))
	}
	return nil
}

func checkRequest(id []byte) error {
	if len(id) != len(uuid.UUID{}) {
		return fmt.Errorf("its request id has %d bytes, not 16", len(id))
	}
	return nil
}

func checkHolds(holds []*event.Hold) error {
	for _, h := range holds {
		if h == nil || h.Budget == "" || h.AmountNanos < 0 || h.WindowEnd <= h.WindowStart {
			return errors.New("one of its holds has no budget, a negative amount or an empty window")
		}
	}
	return nil
}

func checkSettlements(list []*event.Settlement) error {
	for _, s := range list {
		if s.GetAmountNanos() < 0 {
			return errors.New("one of its settlements is negative")
		}
		if err := checkHolds([]*event.Hold{s.GetHold()}); err != nil {
			return err
		}
	}
	return nil
}

// KindOf names an event's kind as the archive does.
func KindOf(ev *event.Envelope) string {
	switch ev.Body.(type) {
	case *event.Envelope_Admitted:
		return "admitted"
	case *event.Envelope_Completed:
		return "completed"
	case *event.Envelope_Denied:
		return "denied"
	case *event.Envelope_Abandoned:
		return "abandoned"
	case *event.Envelope_DenialsCounted:
		return "denials_counted"
	case *event.Envelope_SpoolOpened:
		return "spool_opened"
	case *event.Envelope_SpoolClosed:
		return "spool_closed"
	case *event.Envelope_PolicySeen:
		return "policy_seen"
	case *event.Envelope_HoldExpired:
		return "hold_expired"
	case *event.Envelope_Tick:
		return "tick"
	}
	return "unknown"
}

// UUID returns an id as ClickHouse's type: zeros if it is not one.
func UUID(id []byte) uuid.UUID {
	u, err := uuid.FromBytes(id)
	if err != nil {
		return uuid.UUID{}
	}
	return u
}

// latest is the last whole second of a DateTime64(9); the end of a window without
// end is shown as that.
var latest = time.Date(2262, 4, 11, 23, 47, 16, 0, time.UTC)

// Moment returns a time given in nanoseconds since the Unix epoch, within what
// ClickHouse's DateTime64(9) holds.
func Moment(nanos int64) time.Time {
	t := time.Unix(0, nanos).UTC()
	if t.After(latest) {
		return latest
	}
	if nanos < 0 {
		return time.Unix(0, 0).UTC()
	}
	return t
}
