package projection_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate/consumers/internal/projection"
	"github.com/tallygate/tallygate/consumers/internal/projection/projectiontest"
	"github.com/tallygate/tallygate/schemas/event"
)

func TestReadRefuses(t *testing.T) {
	l := projectiontest.NewLog(t, 0)
	f := func(change func(*event.Envelope), want string) {
		t.Helper()
		id := l.ID()
		ev := &event.Envelope{
			Id: id, Spool: 1, SchemaVersion: event.SchemaVersion, Org: "o",
			Body: &event.Envelope_Admitted{Admitted: &event.Admitted{
				Facts: &event.Facts{RequestId: id}, Holds: []*event.Hold{{Budget: "b", WindowEnd: 1, AmountNanos: 1}},
			}},
		}
		change(ev)
		value, err := ev.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		value, _ = event.AppendSeal(value, 0, 1, &event.Hash{})
		_, err = projection.Read("t", 0, 0, time.Now(), value)
		if want == "" && err != nil || want != "" && (!errors.Is(err, projection.ErrUnreadable) || !strings.Contains(err.Error(), want)) {
			t.Fatalf("unexpected error; got %v; want one with %q", err, want)
		}
	}
	f(func(*event.Envelope) {}, "")
	f(func(ev *event.Envelope) { ev.SchemaVersion++ }, "a newer consumer may read it")
	f(func(ev *event.Envelope) { ev.Id = nil }, "its id has 0 bytes")
	f(func(ev *event.Envelope) { ev.Spool = 0 }, "no spool")
	f(func(ev *event.Envelope) { ev.Partition = 4 }, "belongs to partition 4, and stands in 0")
	f(func(ev *event.Envelope) { ev.Body = nil }, "kind is unknown")
	f(func(ev *event.Envelope) { ev.GetAdmitted().Facts = nil }, "request id has 0 bytes")
	f(func(ev *event.Envelope) { ev.GetAdmitted().Holds[0].AmountNanos = -1 }, "negative amount")
	f(func(ev *event.Envelope) { ev.GetAdmitted().Holds[0].WindowEnd = 0 }, "empty window")
}

// Every kind of event has a name in the archive.
func TestKindsAreNamed(t *testing.T) {
	bodies := (&event.Envelope{}).ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()
	for i := range bodies.Len() {
		field := bodies.Get(i)
		m := (&event.Envelope{}).ProtoReflect()
		m.Set(field, m.NewField(field))
		if got := projection.KindOf(m.Interface().(*event.Envelope)); got != string(field.Name()) {
			t.Errorf("unexpected kind; got %q; want %q", got, field.Name())
		}
	}
}

func TestMoment(t *testing.T) {
	f := func(nanos int64, want string) {
		t.Helper()
		if got := projection.Moment(nanos).Format(time.RFC3339Nano); got != want {
			t.Fatalf("unexpected moment of %d; got %s; want %s", nanos, got, want)
		}
	}
	f(0, "1970-01-01T00:00:00Z")
	f(-5, "1970-01-01T00:00:00Z")
	f(1_500_000_000_000_000_001, "2017-07-14T02:40:00.000000001Z")
	f(math.MaxInt64, "2262-04-11T23:47:16Z")
}

func FuzzRead(f *testing.F) {
	for _, rec := range projectiontest.Random(f, 1, 30).Records {
		f.Add(rec.Bytes)
	}
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, value []byte) {
		// Also with a good seal, so that the fuzzer gets past it.
		sealed, _ := event.AppendSeal(append([]byte(nil), value...), 0, 1, &event.Hash{})
		for _, v := range [][]byte{value, sealed} {
			rec, err := projection.Read("t", 3, 0, time.Now(), v)
			if (err == nil) == (rec == nil) {
				t.Fatalf("unexpected answer: %v, %v", rec, err)
			}
		}
	})
}
