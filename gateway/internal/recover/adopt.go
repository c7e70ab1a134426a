// Package recover takes care of what dead processes left: it locks the data
// folder, ships their spools and ends their requests.
package recover

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/gateway/internal/ship"
	"github.com/tallygate/tallygate/gateway/internal/spool"
	"github.com/tallygate/tallygate/schemas/event"
)

// fullPause is between tries while the spool has no room.
const fullPause = 500 * time.Millisecond

// Orphans opens and repairs the spools that dead processes left in dir. It is
// called before the running process has one there. What a torn write left is cut;
// damage is an error that wraps spool.ErrDamaged.
func Orphans(dir string) ([]*spool.Log, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot look for the spools of earlier processes: %w", err)
	}
	var out []*spool.Log
	var errs []error
	for _, e := range entries {
		if _, ok := spool.ParseFolder(e.Name()); !ok || !e.IsDir() {
			continue
		}
		l, err := spool.OpenLog(filepath.Join(dir, e.Name()))
		if err != nil {
			errs = append(errs, fmt.Errorf("%w; `tallyctl spool inspect %s` shows what is in it", err, filepath.Join(dir, e.Name())))
			continue
		}
		out = append(out, l)
	}
	return out, errors.Join(errs...)
}

// Adopt brings an orphan to its end:
//
//  1. Kafka gets all of it. Nothing is ever appended to it.
//  2. Each request in it that was admitted and has no end is abandoned: the event
//     goes into the spool of the running process, and charges each hold in full.
//  3. When those are safe on disk the orphan's folder is removed.
//
// If the process dies on the way, its successor does the same again, perhaps with
// a second abandoned event for a request, in another spool. That is harmless: both
// have the same event id, and a hold that the first has ended is not open for the
// second. Adopt returns when it is done, ctx is done, or a spool fails.
func Adopt(ctx context.Context, cl *kgo.Client, orphan *spool.Log, running *spool.Spool, log *slog.Logger) error {
	return adopt(ctx, ship.New(cl, orphan, ship.Options{Log: log}), orphan, running, log)
}

func adopt(ctx context.Context, s *ship.Shipper, orphan *spool.Log, running *spool.Spool, log *slog.Logger) error {
	log = log.With("spool", fmt.Sprintf("%016x", orphan.ID()))
	size := orphan.Bytes()
	running.Occupy(size)
	defer running.Occupy(-size)
	open, err := orphan.OpenRequests()
	if err != nil {
		return err
	}
	records, unshipped := orphan.Unshipped()
	log.Info("adopting the spool of an earlier process", "unshipped", records, "bytes", unshipped, "open_requests", len(open))
	if err := s.RunUntilDrained(ctx); err != nil {
		return err
	}
	for _, id := range slices.SortedFunc(maps.Keys(open), compareIDs) {
		if err := abandon(ctx, id, open[id], running, log); err != nil {
			return fmt.Errorf("cannot abandon request %s of old spool %q: %w", id, orphan.Dir(), err)
		}
	}
	if err := running.Sync(); err != nil {
		return err
	}
	if err := orphan.Discard(); err != nil {
		return err
	}
	log.Info("the spool of an earlier process is shipped and removed", "abandoned", len(open))
	return nil
}

func compareIDs(a, b event.ID) int { return bytes.Compare(a[:], b[:]) }

// abandon writes the end of a request whose process died.
func abandon(ctx context.Context, id event.ID, open spool.OpenRequest, running *spool.Spool, log *slog.Logger) error {
	body, err := abandoned(id, open, running.ID(), time.Now())
	if err != nil {
		return err
	}
	for told := false; ; {
		err := running.Append(&spool.Entry{Partition: open.Partition, Body: body})
		if !errors.Is(err, spool.ErrFull) {
			return err
		}
		if !told {
			log.Warn("the spool has no room for the ends of abandoned requests; waiting", "error", err)
			told = true
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(fullPause):
		}
	}
}

// abandoned encodes the event.
func abandoned(id event.ID, open spool.OpenRequest, spoolID uint64, now time.Time) ([]byte, error) {
	var admission event.Envelope
	if err := admission.UnmarshalVT(open.Admitted); err != nil {
		return nil, fmt.Errorf("cannot read its admission: %w", err)
	}
	a := admission.GetAdmitted()
	out := &event.Abandoned{
		Facts: a.GetFacts(), AdmittedSpool: admission.Spool, AdmittedPseq: admission.Pseq,
		Reason: "the gateway's process ended before the request did",
	}
	for _, h := range a.GetHolds() {
		out.Settlements = append(out.Settlements, &event.Settlement{Hold: h, AmountNanos: h.AmountNanos})
	}
	eventID := abandonedID(id)
	env := event.Envelope{
		Id: eventID[:], Spool: spoolID, Partition: admission.Partition, SchemaVersion: event.SchemaVersion,
		OccurredAt: now.UnixNano(), Org: admission.Org, Body: &event.Envelope_Abandoned{Abandoned: out},
	}
	return env.MarshalVT()
}

// abandonedID returns the one id that the abandoned event of a request has,
// whoever writes it and however often: the request's time, then a hash.
func abandonedID(request event.ID) event.ID {
	sum := sha256.Sum256(append([]byte("abandoned:"), request[:]...))
	id := request
	copy(id[6:], sum[:])
	id[6] = 0x70 | id[6]&0x0f
	id[8] = 0x80 | id[8]&0x3f
	return id
}
