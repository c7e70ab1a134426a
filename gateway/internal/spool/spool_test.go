package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallygate/tallygate/schemas/event"
)

func options(dir string) Options {
	return Options{
		Dir: dir, Role: "gateway", Replica: "r1", Version: "test",
		QuotaBytes: 64 << 20, SegmentBytes: 1 << 20, Sync: SyncNever, SyncInterval: time.Millisecond, Partitions: 4,
	}
}

func open(t *testing.T, o Options) *Spool {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatalf("cannot open a spool: %s", err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

// body is an event about a request, as the pipeline encodes it.
func body(t testing.TB, s *Spool, partition int32, request event.ID, kind func(*event.Facts) *event.Envelope, pad int) []byte {
	t.Helper()
	env := kind(&event.Facts{RequestId: request[:], UserAgent: strings.Repeat("x", pad)})
	id := event.NewID(time.Now())
	env.Id, env.Spool, env.Partition, env.SchemaVersion = id[:], s.ID(), uint32(partition), event.SchemaVersion
	env.OccurredAt, env.Org = time.Now().UnixNano(), fmt.Sprint("org", partition)
	b, err := env.MarshalVT()
	if err != nil {
		t.Fatalf("cannot encode an event: %s", err)
	}
	return b
}

func admitted(f *event.Facts) *event.Envelope {
	return &event.Envelope{Body: &event.Envelope_Admitted{Admitted: &event.Admitted{Facts: f}}}
}

func completed(f *event.Facts) *event.Envelope {
	return &event.Envelope{Body: &event.Envelope_Completed{Completed: &event.Completed{Facts: f}}}
}

func appendOne(t testing.TB, s *Spool, partition int32, b []byte) uint64 {
	t.Helper()
	e := Entry{Partition: partition, Body: b}
	if err := s.Append(&e); err != nil {
		t.Fatalf("cannot append: %s", err)
	}
	return e.Pseq()
}

// readAll returns what is in a log, and checks that every partition's records are
// in sequence and chained.
func readAll(t testing.TB, l *Log) []Record {
	t.Helper()
	r, err := l.readerAt(l.firstSeq())
	if err != nil {
		t.Fatalf("cannot read: %s", err)
	}
	defer r.Close()
	var out []Record
	chains := map[int32]chain{}
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("cannot read record %d: %s", len(out)+1, err)
		}
		seal, err := event.OpenSeal(rec.Bytes)
		if err != nil {
			t.Fatalf("record %d: %s", rec.Seq, err)
		}
		if c, ok := chains[rec.Partition]; ok && (seal.Pseq != c.pseq+1 || seal.Prev != c.prev) {
			t.Fatalf("record %d of partition %d does not follow; got pseq %d after %d", rec.Seq, rec.Partition, seal.Pseq, c.pseq)
		}
		chains[rec.Partition] = chain{seal.Pseq, seal.Hash}
		out = append(out, rec)
	}
}

func (l *Log) firstSeq() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) == 0 {
		return l.next.Load()
	}
	return l.segments[0].first
}

func decode(t testing.TB, r Record) *event.Envelope {
	t.Helper()
	var env event.Envelope
	if err := env.UnmarshalVT(r.Bytes); err != nil {
		t.Fatalf("cannot decode record %d: %s", r.Seq, err)
	}
	return &env
}

func TestAppendAndClose(t *testing.T) {
	f := func(sync string) {
		t.Helper()
		o := options(t.TempDir())
		o.Sync = sync
		s := open(t, o)
		for i := range 3 {
			if got, want := appendOne(t, s, 1, body(t, s, 1, event.NewID(time.Now()), admitted, 10)), uint64(i+2); got != want {
				t.Fatalf("unexpected pseq; got %d; want %d", got, want)
			}
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatalf("cannot close: %s", err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatalf("cannot close again: %s", err)
		}
		if err := s.Append(&Entry{Partition: 1, Body: []byte{1}}); !errors.Is(err, ErrClosed) {
			t.Fatalf("unexpected error after closing; got %v; want %v", err, ErrClosed)
		}
		live := readAll(t, s.Log)
		l, err := OpenLog(s.Dir())
		if err != nil {
			t.Fatalf("cannot open again: %s", err)
		}
		again := readAll(t, l)
		if len(live) != 5 || len(again) != 5 {
			t.Fatalf("unexpected number of records; got %d live and %d again; want 5", len(live), len(again))
		}
		for i := range live {
			if !bytes.Equal(live[i].Bytes, again[i].Bytes) {
				t.Fatalf("record %d is not what was written", i)
			}
		}
		if o := decode(t, again[0]).GetSpoolOpened(); o.GetReplica() != "r1" || o.GetRole() != "gateway" {
			t.Fatalf("unexpected first event: %v", o)
		}
		if c := decode(t, again[4]).GetSpoolClosed(); c.GetLastPseq() != 4 {
			t.Fatalf("unexpected last event: %v", c)
		}
		if org, at, err := again[1].Org(); string(org) != "org1" || at == 0 || err != nil {
			t.Fatalf("unexpected org %q, time %d, error %v", org, at, err)
		}
	}
	f(SyncAlways)
	f(SyncInterval)
	f(SyncNever)
}

func TestAppendByManyAtOnce(t *testing.T) {
	o := options(t.TempDir())
	// Small segments, so that cohorts cross their ends.
	o.SegmentBytes = 32 << 10
	s := open(t, o)
	const workers, each = 16, 200
	var mu sync.Mutex
	want := map[string][]byte{}
	// One reader follows while it is written.
	followed := make(chan int)
	go func() {
		r, err := s.NewReader()
		if err != nil {
			t.Errorf("cannot read: %s", err)
		}
		defer r.Close()
		n := 0
		for {
			rec, err := r.Next()
			switch {
			case err == nil:
				if _, err := event.OpenSeal(rec.Bytes); err != nil {
					t.Errorf("record %d: %s", rec.Seq, err)
				}
				n++
				continue
			case !errors.Is(err, io.EOF):
				t.Errorf("cannot follow: %s", err)
			case !errors.Is(s.Err(), ErrClosed):
				select {
				case <-s.More():
				case <-time.After(10 * time.Millisecond):
				}
				continue
			}
			followed <- n
			return
		}
	}()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			var e Entry
			last := map[int32]uint64{}
			for i := range each {
				e.Partition = int32((w + i) % 4)
				e.Body = body(t, s, e.Partition, event.NewID(time.Now()), admitted, i)
				if err := s.Append(&e); err != nil {
					t.Errorf("cannot append: %s", err)
					return
				}
				if e.Pseq() <= last[e.Partition] {
					t.Errorf("a later event got an earlier place: %d after %d", e.Pseq(), last[e.Partition])
				}
				last[e.Partition] = e.Pseq()
				mu.Lock()
				want[fmt.Sprint(e.Partition, " ", e.Pseq())] = bytes.Clone(e.Body)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := s.Close(t.Context()); err != nil {
		t.Fatalf("cannot close: %s", err)
	}
	const total = workers*each + 2*4
	if n := <-followed; n != total {
		t.Fatalf("unexpected number of records followed; got %d; want %d", n, total)
	}
	got := readAll(t, s.Log)
	if len(got) != total || s.firstSeq() != 1 || len(s.segments) < 10 {
		t.Fatalf("unexpected %d records in %d segments; want %d in many", len(got), len(s.segments), total)
	}
	for _, rec := range got {
		seal, _ := event.OpenSeal(rec.Bytes)
		if b, ok := want[fmt.Sprint(rec.Partition, " ", seal.Pseq)]; ok {
			if !bytes.Equal(b, rec.Bytes[:len(rec.Bytes)-event.SealSize]) {
				t.Fatalf("record %d holds another event than the one that was told its place", rec.Seq)
			}
			delete(want, fmt.Sprint(rec.Partition, " ", seal.Pseq))
		}
	}
	if len(want) > 0 {
		t.Fatalf("%d events were appended and are not there", len(want))
	}
}

func TestAppendRefuses(t *testing.T) {
	s := open(t, options(t.TempDir()))
	f := func(e Entry, want string) {
		t.Helper()
		if err := s.Append(&e); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("unexpected error; got %v; want one with %q", err, want)
		}
	}
	f(Entry{Partition: 4}, "partition 4")
	f(Entry{Partition: -1}, "partition -1")
	f(Entry{Body: make([]byte, MaxBodyBytes+1)}, "too large")
	appendOne(t, s, 0, make([]byte, MaxBodyBytes))
}

func TestReserve(t *testing.T) {
	o := options(t.TempDir())
	o.QuotaBytes, o.SegmentBytes = 1<<20, 256<<10
	s := open(t, o)
	if err := s.Reserve(1<<20 + 1); !errors.Is(err, ErrFull) {
		t.Fatalf("unexpected error above the quota; got %v; want %v", err, ErrFull)
	}
	if err := s.Reserve(512 << 10); err != nil {
		t.Fatalf("cannot reserve half of the quota: %s", err)
	}
	s.Occupy(400 << 10)
	if err := s.Reserve(200 << 10); !errors.Is(err, ErrFull) {
		t.Fatalf("unexpected error beside older spools; got %v; want %v", err, ErrFull)
	}
	s.Occupy(-400 << 10)
	s.Release(512 << 10)
	big := body(t, s, 0, event.NewID(time.Now()), completed, 200<<10)
	for range 4 {
		appendOne(t, s, 0, big)
	}
	if err := s.Reserve(300 << 10); !errors.Is(err, ErrFull) {
		t.Fatalf("unexpected error over a full log; got %v; want %v", err, ErrFull)
	}
	// What Kafka has makes room again.
	recs := readAll(t, s.Log)
	last := recs[len(recs)-1]
	s.Ack(last.Seq+1, last.End)
	if err := s.Checkpoint(); err != nil {
		t.Fatalf("cannot checkpoint: %s", err)
	}
	if err := s.Reserve(300 << 10); err != nil {
		t.Fatalf("cannot reserve after Kafka took what was there: %s", err)
	}
	if n := s.Reserved(); n != 300<<10 {
		t.Fatalf("unexpected reserved bytes; got %d; want %d", n, 300<<10)
	}
}

func TestCheckpointKeepsOpenRequests(t *testing.T) {
	o := options(t.TempDir())
	o.SegmentBytes = 8 << 10
	s := open(t, o)
	var open []event.ID
	for i := range 100 {
		id := event.NewID(time.Now())
		appendOne(t, s, int32(i%4), body(t, s, int32(i%4), id, admitted, 300))
		if i%10 == 0 {
			open = append(open, id)
			continue
		}
		appendOne(t, s, int32(i%4), body(t, s, int32(i%4), id, completed, 300))
		if i%7 == 0 {
			recs := readAll(t, s.Log)
			last := recs[rand.IntN(len(recs))]
			s.Ack(last.Seq+1, last.End)
			if err := s.Checkpoint(); err != nil {
				t.Fatalf("cannot checkpoint: %s", err)
			}
		}
	}
	acked := s.Acked()
	if acked == 1 || s.firstSeq() == 1 {
		t.Fatalf("nothing was deleted; the test does not test")
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatalf("cannot close: %s", err)
	}
	l, err := OpenLog(s.Dir())
	if err != nil {
		t.Fatalf("cannot open again: %s", err)
	}
	if l.Acked() != acked || l.Next() != s.Next() {
		t.Fatalf("unexpected positions; got acked %d, next %d; want %d, %d", l.Acked(), l.Next(), acked, s.Next())
	}
	r, err := l.NewReader()
	if err != nil {
		t.Fatalf("cannot read: %s", err)
	}
	defer r.Close()
	if rec, err := r.Next(); err != nil || rec.Seq != acked {
		t.Fatalf("unexpected first record to ship; got %d, error %v; want %d", rec.Seq, err, acked)
	}
	got, err := l.OpenRequests()
	if err != nil {
		t.Fatalf("cannot find open requests: %s", err)
	}
	if len(got) != len(open) {
		t.Fatalf("unexpected number of open requests; got %d; want %d", len(got), len(open))
	}
	for _, id := range open {
		var env event.Envelope
		if err := env.UnmarshalVT(got[id].Admitted); err != nil || event.ID(env.GetAdmitted().GetFacts().GetRequestId()) != id {
			t.Fatalf("request %s is not found with its admission: %v", id, err)
		}
	}
	recs := readAll(t, l)
	l.Ack(l.Next(), recs[len(recs)-1].End)
	if err := l.Remove(); err != nil {
		t.Fatalf("cannot remove: %s", err)
	}
	if _, err := os.Stat(s.Dir()); err != nil {
		t.Fatalf("a spool with open requests was removed: %s", err)
	}
	if err := errors.Join(l.Discard(), l.Checkpoint()); err != nil {
		t.Fatalf("cannot discard: %s", err)
	}
	if _, err := os.Stat(s.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the folder is still there: %v", err)
	}
}

func TestRemoveAfterClose(t *testing.T) {
	s := open(t, options(t.TempDir()))
	id := event.NewID(time.Now())
	appendOne(t, s, 0, body(t, s, 0, id, admitted, 0))
	appendOne(t, s, 0, body(t, s, 0, id, completed, 0))
	if err := s.Close(t.Context()); err != nil {
		t.Fatalf("cannot close: %s", err)
	}
	f := func(exists bool) {
		t.Helper()
		if err := s.Remove(); err != nil {
			t.Fatalf("cannot remove: %s", err)
		}
		if _, err := os.Stat(s.Dir()); (err == nil) != exists {
			t.Fatalf("unexpected state of the folder: %v", err)
		}
	}
	f(true)
	recs := readAll(t, s.Log)
	s.Ack(s.Next(), recs[len(recs)-1].End)
	f(false)
}

func TestOpenMakesItsOwnFolder(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, options(dir)), open(t, options(dir))
	if a.ID() == b.ID() || a.Dir() == b.Dir() || filepath.Dir(a.Dir()) != dir {
		t.Fatalf("two spools share something: %s, %s", a.Dir(), b.Dir())
	}
	if id, ok := ParseFolder(filepath.Base(a.Dir())); !ok || id != a.ID() {
		t.Fatalf("unexpected id of folder %q: %x, %v", a.Dir(), id, ok)
	}
}
