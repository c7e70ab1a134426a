package follow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/policy"
	"github.com/tallygate/tallygate/schemas/topic"
	"github.com/tallygate/tallygate/schemas/topic/admin"
)

var quiet = slog.New(slog.DiscardHandler)

// bench is a broker, or that of TALLYGATE_KAFKA_BROKERS, with topics of the test's own.
type bench struct {
	conf            config.Kafka
	control, limits topic.Topic
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := topics(nil)
	if v := os.Getenv("TALLYGATE_KAFKA_BROKERS"); v != "" {
		b.conf.Brokers = strings.Split(v, ",")
	} else {
		b.conf.Brokers = broker(t, 0)
	}
	return b
}

func topics(brokers []string) *bench {
	run := event.NewSpool()
	return &bench{
		conf:    config.Kafka{Brokers: brokers, Partitions: 3, Replication: 1, MinInSync: 1, CreateTopics: true},
		control: topic.Topic{Name: fmt.Sprintf("test.control.%x", run), Single: true},
		limits:  topic.Topic{Name: fmt.Sprintf("test.limits.%x", run), Compacted: true},
	}
}

func broker(t *testing.T, port int) []string {
	t.Helper()
	opts := []kfake.Opt{kfake.NumBrokers(1)}
	if port != 0 {
		opts = append(opts, kfake.Ports(port))
	}
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatalf("cannot start a broker: %s", err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()
}

func (b *bench) producer(t *testing.T) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.conf.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// replica is a Control with the snapshots it has published.
type replica struct {
	*Control
	mu        sync.Mutex
	snapshots []*policy.Snapshot
}

func (b *bench) replica(t *testing.T, declared []*event.Change) *replica {
	t.Helper()
	r := &replica{}
	r.Control = NewControl(b.conf, declared, "config:test", func(s *policy.Snapshot) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.snapshots = append(r.snapshots, s)
	}, quiet)
	r.topic, r.topics = b.control.Name, []topic.Topic{b.control}
	run(t, r.Run)
	return r
}

func (r *replica) latest() *policy.Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.snapshots) == 0 {
		return nil
	}
	return r.snapshots[len(r.snapshots)-1]
}

func (r *replica) first() *policy.Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.snapshots) == 0 {
		return nil
	}
	return r.snapshots[0]
}

// run runs until the test ends.
func run(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("unexpected error of Run: %s", err)
		}
	})
}

func ready(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(20 * time.Second):
		t.Fatalf("not ready after 20 s")
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after 20 s: %s", what)
		}
	}
}

func models(ids ...string) []*event.Change {
	out := []*event.Change{{Change: &event.Change_Provider{Provider: &event.Provider{Id: "p", Api: "openai"}}}}
	for _, id := range ids {
		out = append(out, &event.Change{Change: &event.Change_Model{Model: &event.Model{Id: id, Targets: []*event.ModelTarget{{Provider: "p"}}}}})
	}
	return out
}

func TestControlDeclares(t *testing.T) {
	b := newBench(t)
	// Replicas that start at once write the same command; it counts once.
	var first []*replica
	for range 3 {
		first = append(first, b.replica(t, models("a", "b")))
	}
	for _, r := range first {
		ready(t, r.Ready())
		if s := r.latest(); s == nil || s.Models["a"] == nil || s.Models["b"] == nil || len(s.Models["a"].Targets) != 1 {
			t.Fatalf("unexpected policy when ready: %+v", s)
		}
		if s := r.first(); s == nil || s.Models["a"] == nil {
			t.Fatalf("a policy was published before what is declared was in it")
		}
	}
	// One with another configuration changes it for all.
	second := b.replica(t, models("b", "c"))
	ready(t, second.Ready())
	for _, r := range append(first, second) {
		until(t, "the change arrives", func() bool {
			s := r.latest()
			return s.Models["a"] == nil && s.Models["b"] != nil && s.Models["c"] != nil
		})
	}
	// What is declared and there writes nothing.
	version := second.latest().Version
	third := b.replica(t, models("b", "c"))
	ready(t, third.Ready())
	if got := third.latest().Version; got != version {
		t.Fatalf("unexpected policy version after declaring what is there; got %d; want %d", got, version)
	}
}

func TestControlOutlivesRubbish(t *testing.T) {
	b := newBench(t)
	cl := b.producer(t)
	if err := admin.Ensure(t.Context(), cl, b.conf, []topic.Topic{b.control}); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: b.control.Name, Value: []byte{0xff, 0xff}}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	r := b.replica(t, models("a"))
	ready(t, r.Ready())
	if s := r.latest(); s.Version != 2 || s.Models["a"] == nil {
		t.Fatalf("unexpected policy: %+v", s)
	}
}

func TestControlRefusesUnfitTopic(t *testing.T) {
	b := newBench(t)
	if _, err := kadm.NewClient(b.producer(t)).CreateTopic(t.Context(), 2, 1, nil, b.control.Name); err != nil {
		t.Fatal(err)
	}
	c := NewControl(b.conf, nil, "", func(*policy.Snapshot) {}, quiet)
	c.topic, c.topics = b.control.Name, []topic.Topic{b.control}
	if err := c.Run(t.Context()); !errors.Is(err, admin.ErrUnfit) {
		t.Fatalf("unexpected error; got %v; want %v", err, admin.ErrUnfit)
	}
}

func TestControlWithoutKafkaAtFirst(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	_ = l.Close()
	b := topics([]string{addr.String()})
	r := b.replica(t, models("a"))
	select {
	case <-r.Ready():
		t.Fatalf("ready without Kafka")
	case <-time.After(300 * time.Millisecond):
	}
	broker(t, addr.Port)
	ready(t, r.Ready())
	if r.latest().Models["a"] == nil {
		t.Fatalf("unexpected policy: %+v", r.latest())
	}
}

func (b *bench) balances(t *testing.T, apply func(*event.Balance)) *Balances {
	t.Helper()
	out := NewBalances(b.conf, apply, quiet)
	out.topic, out.topics = b.limits.Name, []topic.Topic{b.limits}
	run(t, out.Run)
	return out
}

func TestBalances(t *testing.T) {
	b := newBench(t)
	cl := b.producer(t)
	if err := admin.Ensure(t.Context(), cl, b.conf, []topic.Topic{b.limits}); err != nil {
		t.Fatal(err)
	}
	publish := func(partition int32, budget string, nanos int64) {
		t.Helper()
		value, err := (&event.Balance{Budget: budget, SettledNanos: nanos}).MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: b.limits.Name, Partition: partition, Key: []byte(budget), Value: value}).FirstErr(); err != nil {
			t.Fatalf("cannot publish: %s", err)
		}
	}
	// One partition is empty, one has rubbish in it.
	publish(0, "b0", 1)
	publish(0, "b0", 2)
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: b.limits.Name, Partition: 2, Key: []byte("x"), Value: []byte{0xff}}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	publish(2, "b2", 3)
	var mu sync.Mutex
	got := map[string]int64{}
	follower := b.balances(t, func(x *event.Balance) {
		mu.Lock()
		defer mu.Unlock()
		got[x.Budget] = x.SettledNanos
	})
	ready(t, follower.Ready())
	balance := func(budget string) int64 {
		mu.Lock()
		defer mu.Unlock()
		return got[budget]
	}
	if balance("b0") != 2 || balance("b2") != 3 {
		t.Fatalf("ready before the topic was read to its end: %v", got)
	}
	publish(1, "b1", 4)
	until(t, "a later balance arrives", func() bool { return balance("b1") == 4 })
}

func TestBalancesOfEmptyTopic(t *testing.T) {
	b := newBench(t)
	follower := b.balances(t, func(*event.Balance) {})
	ready(t, follower.Ready())
}

func TestAge(t *testing.T) {
	// Its own broker, since it is stopped.
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := topics(c.ListenAddrs())
	follower := b.balances(t, func(*event.Balance) {})
	if got := follower.Age(); got > time.Second {
		t.Fatalf("unexpected age at the start: %s", got)
	}
	ready(t, follower.Ready())
	// Nothing arrives, and yet the state is known to be current.
	for range 4 {
		time.Sleep(fetchWait)
		if got := follower.Age(); got > 2*fetchWait+time.Second {
			t.Fatalf("unexpected age of an idle topic; got %s; want at most about %s", got, fetchWait)
		}
	}
	c.Close()
	until(t, "the age grows without a broker", func() bool { return follower.Age() > 3*fetchWait+time.Second })
}

func TestALargePolicyIsOneChange(t *testing.T) {
	b := newBench(t)
	ids := make([]string, 40_000)
	for i := range ids {
		ids[i] = fmt.Sprintf("a-model-with-a-rather-long-name-%d", i)
	}
	r := b.replica(t, models(ids...))
	ready(t, r.Ready())
	if s := r.latest(); s == nil || len(s.Models) != len(ids) {
		t.Fatalf("unexpected policy: %v", s)
	}
}
