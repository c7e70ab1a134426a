// Package projectiontest has the tests that every projection must pass, and seeded
// logs to run them on.
package projectiontest

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/tallygate/tallygate/consumers/internal/projection"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/topic"
)

// Epoch is the append time of the first record of a log: shortly before the end of a month.
var Epoch = time.Date(2026, 11, 30, 23, 58, 30, 0, time.UTC)

// Log is one partition of the requests topic, as several processes write it.
type Log struct {
	T         testing.TB
	Partition int32
	Records   []*projection.Record
	// Step is the time between two appends.
	Step time.Duration

	spools map[uint64]*head
	ids    uint64
}

type head struct {
	pseq uint64
	hash event.Hash
}

// NewLog returns an empty log.
func NewLog(t testing.TB, partition int32) *Log {
	return &Log{T: t, Partition: partition, Step: time.Millisecond, spools: map[uint64]*head{}}
}

// Now is the append time of the next record.
func (l *Log) Now() time.Time { return Epoch.Add(time.Duration(len(l.Records)) * l.Step) }

// ID returns an id that was not returned before.
func (l *Log) ID() []byte {
	l.ids++
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(l.Partition)<<32|0x7000), l.ids)
}

// Append seals an event as the next one of its spool and appends it. It returns its offset.
func (l *Log) Append(spool uint64, org string, ev *event.Envelope) int64 {
	return l.AppendBytes(l.Seal(spool, org, ev))
}

// Seal makes the spool's next record, without appending it: it is lost, unless AppendBytes follows.
func (l *Log) Seal(spool uint64, org string, ev *event.Envelope) []byte {
	h := l.spools[spool]
	if h == nil {
		h = &head{}
		l.spools[spool] = h
	}
	ev.Id, ev.Spool, ev.Partition, ev.Org = l.ID(), spool, uint32(l.Partition), org
	ev.SchemaVersion, ev.OccurredAt = event.SchemaVersion, l.Now().UnixNano()
	value, err := ev.MarshalVT()
	if err != nil {
		l.T.Fatal(err)
	}
	h.pseq++
	value, h.hash = event.AppendSeal(value, 0, h.pseq, &h.hash)
	return value
}

// Pseq is the number of the spool's last event.
func (l *Log) Pseq(spool uint64) uint64 {
	if h := l.spools[spool]; h != nil {
		return h.pseq
	}
	return 0
}

// AppendBytes appends a record, which may have been appended before.
func (l *Log) AppendBytes(value []byte) int64 {
	offset := int64(len(l.Records))
	rec, err := projection.Read(topic.Requests, l.Partition, offset, l.Now(), value)
	if err != nil {
		l.T.Fatal(err)
	}
	l.Records = append(l.Records, rec)
	return offset
}
