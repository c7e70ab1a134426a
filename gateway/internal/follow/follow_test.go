package follow

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/key"
	"github.com/tallygate/tallygate/schemas/policy"
	"github.com/tallygate/tallygate/schemas/topic"
	"github.com/tallygate/tallygate/schemas/topic/kafkatest"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// cluster is an empty Kafka.
func cluster(t *testing.T) config.Kafka {
	t.Helper()
	return kafkatest.Start(t).Config
}

// declared is a policy with one org and the given models.
func declared(models ...string) []*event.Change {
	out := []*event.Change{{Change: &event.Change_Org{Org: &event.Org{Id: "acme"}}}}
	for _, m := range models {
		out = append(out, &event.Change{Change: &event.Change_Model{Model: &event.Model{Id: m}}})
	}
	return out
}

// follower runs a Control and keeps what it publishes.
type follower struct {
	*Control
	snapshots chan *policy.Snapshot
}

func follow(t *testing.T, conf config.Kafka, changes []*event.Change) *follower {
	t.Helper()
	f := &follower{snapshots: make(chan *policy.Snapshot, 100)}
	f.Control = NewControl(conf, changes, "config:test", func(s *policy.Snapshot) { f.snapshots <- s }, quiet)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f.Run(ctx); err != nil && ctx.Err() == nil {
			t.Errorf("unexpected end: %s", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return f
}

// until returns the first snapshot that holds.
func (f *follower) until(t *testing.T, what string, holds func(*policy.Snapshot) bool) *policy.Snapshot {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case s := <-f.snapshots:
			if holds(s) {
				return s
			}
		case <-deadline:
			t.Fatalf("no snapshot with %s after 20 s", what)
		}
	}
}

func has(model string) func(*policy.Snapshot) bool {
	return func(s *policy.Snapshot) bool { return s.Models[model] != nil }
}

func TestReplicasThatStartAtOnceWriteThePolicyOnce(t *testing.T) {
	conf := cluster(t)
	const replicas = 4
	versions := make([]uint64, replicas)
	var wg sync.WaitGroup
	for i := range replicas {
		f := follow(t, conf, declared("one", "two"))
		wg.Go(func() { versions[i] = f.until(t, "the model", has("two")).Version })
	}
	wg.Wait()
	log := readAll(t, conf, topic.Control)
	applied, state := 0, policy.NewState()
	for i, r := range log {
		var ev event.ControlEvent
		must(t, ev.UnmarshalVT(r.Value))
		if ev.Actor != "config:test" || len(ev.CommandId) == 0 || ev.OccurredAt == 0 {
			t.Fatalf("an event without its author: %v", &ev)
		}
		if state.Apply(int64(i), &ev).Applied {
			applied++
		}
	}
	if applied != 1 {
		t.Fatalf("unexpected number of events that changed the policy among %d; got %d; want 1", len(log), applied)
	}
	late := follow(t, conf, declared("one", "two"))
	late.until(t, "the model", has("two"))
	if again := readAll(t, conf, topic.Control); len(again) != len(log) {
		t.Fatalf("a replica with nothing to declare wrote %d events", len(again)-len(log))
	}
}

func TestControlFollowsWhatOthersChange(t *testing.T) {
	conf := cluster(t)
	first := follow(t, conf, declared("old"))
	first.until(t, "its own model", has("old"))
	second := follow(t, conf, declared("new"))
	want := second.until(t, "its own model", has("new"))
	got := first.until(t, "the other's model", func(s *policy.Snapshot) bool { return has("new")(s) && !has("old")(s) })
	if got.Version != want.Version {
		t.Fatalf("the same policy under two versions: %d and %d", got.Version, want.Version)
	}
	select {
	case <-first.Ready():
	default:
		t.Fatal("a follower that published must be ready")
	}
}

func TestAnUnreadableControlEventChangesNothing(t *testing.T) {
	conf := cluster(t)
	f := follow(t, conf, declared("one"))
	f.until(t, "the model", has("one"))
	produce(t, conf, &kgo.Record{Topic: topic.Control, Value: []byte("garbage \xff")})
	ev := &event.ControlEvent{SchemaVersion: event.SchemaVersion, Changes: declared("one", "two")[2:]}
	value, err := ev.MarshalVT()
	must(t, err)
	produce(t, conf, &kgo.Record{Topic: topic.Control, Value: value})
	s := f.until(t, "the event after it", has("two"))
	if s.Models["one"] == nil || s.Version != 3 {
		t.Fatalf("unexpected policy: version %d, %d models; want version 3 and 2 models", s.Version, len(s.Models))
	}
}

func TestBalancesAreReadToTheEndAndThenLive(t *testing.T) {
	conf := cluster(t)
	var mu sync.Mutex
	seen := map[string]int64{}
	start := func() *Balances {
		b := NewBalances(conf, func(in *event.Balance) {
			mu.Lock()
			defer mu.Unlock()
			seen[in.Budget] = in.SettledNanos
		}, quiet)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); _ = b.Run(ctx) }()
		t.Cleanup(func() { cancel(); <-done })
		return b
	}
	put := func(i int, nanos int64) {
		value, err := (&event.Balance{Budget: "b" + strconv.Itoa(i), SettledNanos: nanos}).MarshalVT()
		must(t, err)
		produce(t, conf, &kgo.Record{Topic: topic.Limits, Partition: int32(i % conf.Partitions), Key: []byte("b" + strconv.Itoa(i)), Value: value})
	}
	// An empty topic has been read at once.
	waitReady(t, start())
	const n = 50
	for i := range n {
		put(i, int64(i))
	}
	mu.Lock()
	clear(seen)
	mu.Unlock()
	waitReady(t, start())
	mu.Lock()
	if len(seen) != n || seen["b49"] != 49 {
		t.Fatalf("ready after %d of %d balances", len(seen), n)
	}
	mu.Unlock()
	put(7, 700)
	deadline := time.Now().Add(10 * time.Second)
	for {
		mu.Lock()
		got := seen["b7"]
		mu.Unlock()
		if got == 700 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("unexpected balance 10 s after it was published; got %d; want 700", got)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestKafkaMayComeLater(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port := ln.Addr().(*net.TCPAddr).Port
	must(t, ln.Close())
	conf := config.Kafka{Brokers: []string{"127.0.0.1:" + strconv.Itoa(port)}, Partitions: 4, Replication: 1, MinInSync: 1, CreateTopics: true}
	f := follow(t, conf, declared("one"))
	time.Sleep(300 * time.Millisecond)
	select {
	case <-f.Ready():
		t.Fatal("ready without Kafka")
	default:
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(port))
	must(t, err)
	t.Cleanup(c.Close)
	f.until(t, "the model", has("one"))
}

func TestATopicThatDoesNotFitIsAnError(t *testing.T) {
	conf := cluster(t)
	waitReady(t, func() *Balances {
		b := NewBalances(conf, func(*event.Balance) {}, quiet)
		ctx, cancel := context.WithCancel(context.Background())
		t.Cleanup(cancel)
		go func() { _ = b.Run(ctx) }()
		return b
	}())
	conf.Partitions = 5
	err := NewBalances(conf, func(*event.Balance) {}, quiet).Run(context.Background())
	if err == nil || !strings.Contains(err.Error(), "kafka.partitions") {
		t.Fatalf("unexpected error; got %v; want one that names kafka.partitions", err)
	}
}

func TestDeclaredKeysNeverReachTheLog(t *testing.T) {
	conf := cluster(t)
	secret := key.New()
	t.Setenv("TEST_FOLLOW_KEY", secret)
	digester, err := key.NewDigester([]byte(strings.Repeat("p", key.MinPepperLen)))
	must(t, err)
	changes, err := policy.Declared(&config.Policy{Orgs: []config.Org{{ID: "o", Teams: []config.Team{{ID: "t", Apps: []config.App{{
		ID: "a", Keys: []config.Key{{ID: "k", Secret: "env:TEST_FOLLOW_KEY", Models: []string{"*"}}}}}}}}}}, digester)
	must(t, err)
	f := follow(t, conf, changes)
	s := f.until(t, "the key", func(s *policy.Snapshot) bool { return len(s.Keys) == 1 })
	if s.Keys[digester.Digest([]byte(secret))] == nil {
		t.Fatal("the key is not found by its digest")
	}
	for _, r := range readAll(t, conf, topic.Control) {
		if strings.Contains(string(r.Value), secret[len(key.Prefix):]) {
			t.Fatal("the control log holds a key")
		}
	}
}

func waitReady(t *testing.T, b *Balances) {
	t.Helper()
	select {
	case <-b.Ready():
	case <-time.After(20 * time.Second):
		t.Fatal("not ready after 20 s")
	}
}

func produce(t *testing.T, conf config.Kafka, r *kgo.Record) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(conf.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	must(t, err)
	defer cl.Close()
	must(t, cl.ProduceSync(context.Background(), r).FirstErr())
}

// readAll returns all records of a topic of one partition.
func readAll(t *testing.T, conf config.Kafka, name string) []*kgo.Record {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(conf.Brokers...), kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	must(t, err)
	defer cl.Close()
	var out []*kgo.Record
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		records := cl.PollFetches(ctx).Records()
		cancel()
		if len(records) == 0 && len(out) > 0 {
			return out
		}
		out = append(out, records...)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
