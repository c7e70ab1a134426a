package recover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/gateway/internal/ship"
	"github.com/tallygate/tallygate/gateway/internal/spool"
	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/event"
)

// bench is a broker, or that of TALLYGATE_KAFKA_BROKERS, with a topic of the test's own.
type bench struct {
	conf  config.Kafka
	cl    *kgo.Client
	topic string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{topic: fmt.Sprintf("test.recover.%x", event.NewSpool())}
	if v := os.Getenv("TALLYGATE_KAFKA_BROKERS"); v != "" {
		b.conf.Brokers = strings.Split(v, ",")
	} else {
		c, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatalf("cannot start a broker: %s", err)
		}
		t.Cleanup(c.Close)
		b.conf.Brokers = c.ListenAddrs()
	}
	var err error
	if b.cl, err = ship.NewClient(b.conf, "test"); err != nil {
		t.Fatalf("cannot make a client: %s", err)
	}
	t.Cleanup(b.cl.Close)
	if _, err := kadm.NewClient(b.cl).CreateTopic(t.Context(), 2, 1, nil, b.topic); err != nil {
		t.Fatalf("cannot make a topic: %s", err)
	}
	return b
}

func (b *bench) adopt(t *testing.T, orphan *spool.Log, running *spool.Spool) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := adopt(ctx, ship.New(b.cl, orphan, ship.Options{Topic: b.topic, Log: log}), orphan, running, log); err != nil {
		t.Fatalf("cannot adopt: %s", err)
	}
}

// shipped counts the records of a spool in the topic.
func (b *bench) shipped(t *testing.T, id uint64) int {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.conf.Brokers...), kgo.ConsumeTopics(b.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(t.Context(), b.topic)
	if err != nil {
		t.Fatal(err)
	}
	left := int64(0)
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	n := 0
	for left > 0 {
		cl.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) {
			var env event.Envelope
			if err := env.UnmarshalVT(r.Value); err != nil {
				t.Fatalf("cannot read offset %d: %s", r.Offset, err)
			}
			if env.Spool == id {
				n++
			}
			left--
		})
	}
	return n
}

func openSpool(t *testing.T, dir string) *spool.Spool {
	t.Helper()
	s, err := spool.Open(spool.Options{Dir: dir, Role: "gateway", QuotaBytes: 16 << 20, SegmentBytes: 1 << 20, Sync: spool.SyncNever, Partitions: 2})
	if err != nil {
		t.Fatalf("cannot open a spool: %s", err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

var hold = &event.Hold{Budget: "b1", WindowStart: 1, WindowEnd: 2, AmountNanos: 1234}

// call writes an admission, and a completion if it ends.
func call(t *testing.T, s *spool.Spool, ends bool) event.ID {
	t.Helper()
	id := event.NewID(time.Now())
	facts := &event.Facts{RequestId: id[:], Key: "k1"}
	write := func(env *event.Envelope) {
		eventID := event.NewID(time.Now())
		env.Id, env.Spool, env.Partition, env.Org = eventID[:], s.ID(), 1, "acme"
		body, err := env.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Append(&spool.Entry{Partition: 1, Body: body}); err != nil {
			t.Fatalf("cannot append: %s", err)
		}
	}
	write(&event.Envelope{Body: &event.Envelope_Admitted{Admitted: &event.Admitted{Facts: facts, Holds: []*event.Hold{hold}}}})
	if ends {
		write(&event.Envelope{Body: &event.Envelope_Completed{Completed: &event.Completed{Facts: facts}}})
	}
	return id
}

// abandonedIn returns the abandoned events in a spool by request.
func abandonedIn(t *testing.T, l *spool.Log) map[event.ID]*event.Envelope {
	t.Helper()
	r, err := l.NewReader()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out := map[event.ID]*event.Envelope{}
	for l.Next() > 1 {
		rec, err := r.Next()
		if err != nil {
			break
		}
		var env event.Envelope
		if err := env.UnmarshalVT(rec.Bytes); err != nil {
			t.Fatal(err)
		}
		if a := env.GetAbandoned(); a != nil {
			id := event.ID(a.GetFacts().GetRequestId())
			if out[id] != nil {
				t.Fatalf("request %s was abandoned twice in one spool", id)
			}
			out[id] = &env
		}
	}
	return out
}

func TestAdopt(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	dead := openSpool(t, dir)
	var open []event.ID
	for i := range 50 {
		if id := call(t, dead, i%10 != 0); i%10 == 0 {
			open = append(open, id)
		}
	}
	orphans, err := Orphans(dir)
	if err != nil || len(orphans) != 1 || orphans[0].ID() != dead.ID() {
		t.Fatalf("unexpected orphans: %v, error %v", orphans, err)
	}

	first := openSpool(t, dir)
	// Its successor dies after it has written the ends and before it has removed the folder.
	backup := t.TempDir()
	if err := os.CopyFS(backup, os.DirFS(dead.Dir())); err != nil {
		t.Fatal(err)
	}
	b.adopt(t, orphans[0], first)
	if _, err := os.Stat(dead.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the orphan's folder is still there: %v", err)
	}
	if got, want := b.shipped(t, dead.ID()), 96; got != want {
		t.Fatalf("unexpected number of shipped records; got %d; want %d", got, want)
	}
	if err := os.CopyFS(dead.Dir(), os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}

	// The next one finds both spools, and does it again.
	again, err := Orphans(dir)
	if err != nil || len(again) != 2 {
		t.Fatalf("unexpected orphans: %v, error %v", again, err)
	}
	second := openSpool(t, dir)
	wrote := abandonedIn(t, first.Log)
	for _, o := range again {
		b.adopt(t, o, second)
	}
	repeated := abandonedIn(t, second.Log)
	if len(wrote) != len(open) || len(repeated) != len(open) {
		t.Fatalf("unexpected number of abandoned requests; got %d, then %d; want %d", len(wrote), len(repeated), len(open))
	}
	for _, id := range open {
		env := wrote[id]
		a := env.GetAbandoned()
		if a == nil || env.Org != "acme" || env.Spool != first.ID() || env.Partition != 1 || a.AdmittedSpool != dead.ID() || a.AdmittedPseq < 2 ||
			a.GetFacts().GetKey() != "k1" || len(a.Settlements) != 1 || a.Settlements[0].AmountNanos != hold.AmountNanos || a.Settlements[0].Hold.Budget != "b1" {
			t.Fatalf("unexpected event: %v", env)
		}
		if string(env.Id) != string(repeated[id].Id) {
			t.Fatalf("the second abandoned event of request %s has another id: %x, %x", id, env.Id, repeated[id].Id)
		}
	}
	if left, err := Orphans(dir); err != nil || len(left) != 1 || left[0].ID() != second.ID() {
		t.Fatalf("unexpected spools at the end: %v, error %v", left, err)
	}
}

func TestAdoptEmptySpool(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	empty := filepath.Join(dir, "00000000000000aa")
	if err := os.MkdirAll(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	unused := openSpool(t, dir)
	orphans, err := Orphans(dir)
	if err != nil || len(orphans) != 2 {
		t.Fatalf("unexpected orphans: %v, error %v", orphans, err)
	}
	running := openSpool(t, dir)
	for _, o := range orphans {
		b.adopt(t, o, running)
	}
	for _, d := range []string{empty, unused.Dir()} {
		if _, err := os.Stat(d); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("folder %q is still there: %v", d, err)
		}
	}
	if running.Next() != 1 {
		t.Fatalf("something was written for an empty spool")
	}
}

func TestOrphansFailsOnDamage(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir)
	for range 20 {
		call(t, s, true)
	}
	path := filepath.Join(s.Dir(), "00000000000000000001.log")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[300] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Orphans(dir)
	if !errors.Is(err, spool.ErrDamaged) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "tallyctl spool inspect") {
		t.Fatalf("unexpected error for a damaged spool: %v", err)
	}
}

func TestOrphansWithoutFolder(t *testing.T) {
	if got, err := Orphans(filepath.Join(t.TempDir(), "none")); got != nil || err != nil {
		t.Fatalf("unexpected result without a folder: %v, %v", got, err)
	}
}

func TestLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	release, err := Lock(dir)
	if err != nil {
		t.Fatalf("cannot lock: %s", err)
	}
	want := fmt.Sprintf("data folder %q is in use by process %d; ", dir, os.Getpid())
	if _, err := Lock(dir); err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("unexpected error of a second lock; got %v; want one with %q", err, want)
	}
	if err := release(); err != nil {
		t.Fatalf("cannot release: %s", err)
	}
	release, err = Lock(dir)
	if err != nil {
		t.Fatalf("cannot lock again: %s", err)
	}
	defer func() { _ = release() }()
}

// TestLockEndsWithProcess locks in another process, which is then killed.
func TestLockEndsWithProcess(t *testing.T) {
	if dir := os.Getenv("TEST_LOCK_DIR"); dir != "" {
		if _, err := Lock(dir); err != nil {
			fmt.Println(err)
		} else {
			fmt.Println("locked")
		}
		time.Sleep(time.Minute)
		return
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestLockEndsWithProcess$")
	cmd.Env = append(os.Environ(), "TEST_LOCK_DIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 256)
	if n, err := out.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "locked") {
		t.Fatalf("the other process did not lock: %q, %v", buf[:n], err)
	}
	if _, err := Lock(dir); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d;", cmd.Process.Pid)) {
		t.Fatalf("unexpected error while the other process lives: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	release, err := Lock(dir)
	if err != nil {
		t.Fatalf("cannot lock after the other process was killed: %s", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
}
