package keeper

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/topic"
)

// author seals the ledger's own events and appends them to the log. It has a spool in
// each partition, as every process that writes, but none on disk: what is not in the
// log when the process dies was never said.
type author struct {
	client  *kgo.Client
	replica string
	// process is the id of this process's spool. After a failure, partitions get spools of their own.
	process uint64
	failed  map[int32]bool
	spools  map[int32]*spool
}

// spool is the author's sequence of events in one partition.
type spool struct {
	id   uint64
	pseq uint64
	head event.Hash
}

func newAuthor(client *kgo.Client, replica string) *author {
	return &author{client: client, replica: replica, process: event.NewSpool(), failed: map[int32]bool{}, spools: map[int32]*spool{}}
}

// append seals an event, writes it and returns its offset. If it cannot be known
// whether the event is in the log, the spool ends there: the next event opens another
// one, in which no number is in doubt.
func (a *author) append(ctx context.Context, partition int32, ev *event.Envelope) (int64, error) {
	s := a.spools[partition]
	var out []*kgo.Record
	if s == nil {
		s = &spool{id: a.process}
		if a.failed[partition] {
			s.id = event.NewSpool()
		}
		a.spools[partition] = s
		out = append(out, a.record(partition, s, &event.Envelope{
			Org:  event.SystemOrg,
			Body: &event.Envelope_SpoolOpened{SpoolOpened: &event.SpoolOpened{Role: "ledger", Replica: a.replica, Version: version()}},
		}))
	}
	out = append(out, a.record(partition, s, ev))
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := a.client.ProduceSync(ctx, out...).FirstErr(); err != nil {
		delete(a.spools, partition)
		a.failed[partition] = true
		return 0, fmt.Errorf("cannot append to topic %q, partition %d: %w", topic.Requests, partition, err)
	}
	return out[len(out)-1].Offset, nil
}

// record gives the event its identity and seals it.
func (a *author) record(partition int32, s *spool, ev *event.Envelope) *kgo.Record {
	now := time.Now()
	id := event.NewID(now)
	ev.Id, ev.Spool, ev.Partition, ev.SchemaVersion, ev.OccurredAt = id[:], s.id, uint32(partition), event.SchemaVersion, now.UnixNano()
	value, err := ev.MarshalVT()
	if err != nil {
		panic("BUG: an event of the ledger can always be encoded: " + err.Error())
	}
	s.pseq++
	value, s.head = event.AppendSeal(value, 0, s.pseq, &s.head)
	return &kgo.Record{Topic: topic.Requests, Partition: partition, Key: []byte(ev.Org), Value: value}
}

// close ends every spool in order. Where that fails, the spool stays open in the log,
// as that of a process that was killed.
func (a *author) close(ctx context.Context) {
	var out []*kgo.Record
	for partition, s := range a.spools {
		out = append(out, a.record(partition, s, &event.Envelope{
			Org: event.SystemOrg, Body: &event.Envelope_SpoolClosed{SpoolClosed: &event.SpoolClosed{LastPseq: s.pseq}},
		}))
	}
	if len(out) > 0 {
		a.client.ProduceSync(ctx, out...)
	}
	clear(a.spools)
}

// version is that of the program, as the build noted it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return ""
}
