// Package recover takes care of what dead processes left: it locks the data
// folder, ships their spools and ends their requests.
package recover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/gateway/internal/ship"
	"github.com/tallygate/tallygate/gateway/internal/spool"
	"github.com/tallygate/tallygate/schemas/event"
)

// Orphans opens the spools that dead processes left in dir, all but that of the
// running one. What a torn write left is cut; other damage is an error.
func Orphans(dir string, running uint64) ([]*spool.Log, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot look for the spools of earlier processes: %w", err)
	}
	var out []*spool.Log
	var errs []error
	for _, e := range entries {
		id, ok := spool.ParseFolder(e.Name())
		if !e.IsDir() || !ok || id == running {
			continue
		}
		l, err := spool.OpenLog(filepath.Join(dir, e.Name()))
		if err != nil {
			errs = append(errs, fmt.Errorf("%w; look at it with `tallyctl spool inspect %s`, then move the folder away to go on without it", err, filepath.Join(dir, e.Name())))
			continue
		}
		out = append(out, l)
	}
	return out, errors.Join(errs...)
}

// Adopt ships the spool of a dead process, writes an end for each of its requests
// that has none, into the running process's spool, and removes the folder. It goes
// on until that is done or ctx is. Nothing is ever appended to the dead one's.
//
// Should this process die in between, its successor does it again: a second
// abandoned for a request says nothing new to any reader, and a record that is
// shipped twice is known by its sequence number.
func Adopt(ctx context.Context, cl *kgo.Client, orphan *spool.Log, running *spool.Spool, log *slog.Logger) error {
	open, err := orphan.OpenRequests()
	if err != nil {
		return err
	}
	records, bytes := orphan.Unshipped()
	log.Info("adopting the spool of an earlier process", "spool", fmt.Sprintf("%016x", orphan.ID()), "unshipped", records, "bytes", bytes, "open_requests", len(open))
	held := orphan.Bytes()
	running.Occupy(held)
	defer running.Occupy(-held)

	shipping, stop := context.WithCancel(ctx)
	defer stop()
	s := ship.New(cl, orphan, ship.Options{Log: log})
	failed := make(chan error, 1)
	go func() { failed <- s.Run(shipping) }()
	err = s.Drain(ctx)
	stop()
	if err = errors.Join(err, <-failed); err != nil {
		return err
	}
	for id, r := range open {
		if err := abandon(id, r, running); err != nil {
			return fmt.Errorf("cannot record the end of request %s: %w", id, err)
		}
	}
	if err := running.Sync(); err != nil {
		return err
	}
	return orphan.Remove()
}

// abandon ends a request whose process died.
func abandon(id event.ID, r spool.OpenRequest, running *spool.Spool) error {
	seal, err := event.OpenSeal(r.Admitted)
	if err != nil {
		return err
	}
	var admitted event.Envelope
	if err := admitted.UnmarshalVT(r.Admitted); err != nil {
		return err
	}
	a := admitted.GetAdmitted()
	end := &event.Abandoned{
		Facts: a.GetFacts(), AdmittedSpool: admitted.Spool, AdmittedPseq: seal.Pseq, Reason: "the process died before the call ended",
	}
	for _, h := range a.GetHolds() {
		end.Settlements = append(end.Settlements, &event.Settlement{Hold: h, AmountNanos: h.AmountNanos})
	}
	now := time.Now()
	eventID := event.NewID(now)
	env := &event.Envelope{
		Id: eventID[:], Spool: running.ID(), Partition: uint32(r.Partition), SchemaVersion: event.SchemaVersion,
		OccurredAt: now.UnixNano(), Org: admitted.Org, Body: &event.Envelope_Abandoned{Abandoned: end},
	}
	body, err := env.MarshalVT()
	if err != nil {
		return err
	}
	return running.Append(&spool.Entry{Partition: r.Partition, Body: body})
}
