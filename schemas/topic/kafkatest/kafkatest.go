// Package kafkatest gives tests a Kafka with Tallygate's topics, empty: a fake one in
// the process, or the broker that TALLYGATE_KAFKA_BROKERS names, whose topics and
// groups of Tallygate are deleted first. Packages that use it must not run at once
// against one broker: go test -p 1.
package kafkatest

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/topic"
	"github.com/tallygate/tallygate/schemas/topic/admin"
)

// Partitions is the number of partitions of topics that have many.
const Partitions = 4

const setupTimeout = 60 * time.Second

// Kafka is a broker with Tallygate's topics.
type Kafka struct {
	Config config.Kafka
	Client *kgo.Client
	Admin  *kadm.Client
}

// Start returns a broker with Tallygate's topics for one test.
func Start(t testing.TB) *Kafka {
	t.Helper()
	k := Empty(t)
	ctx, cancel := context.WithTimeout(t.Context(), setupTimeout)
	defer cancel()
	for {
		err := admin.EnsureTopics(ctx, k.Client, k.Config)
		if err == nil {
			return k
		}
		if ctx.Err() != nil {
			t.Fatalf("cannot make the topics: %v", err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// Empty returns a broker without topics of Tallygate for one test.
func Empty(t testing.TB) *Kafka {
	t.Helper()
	k := &Kafka{Config: config.Kafka{Partitions: Partitions, Replication: 1, MinInSync: 1, CreateTopics: true}}
	given := os.Getenv("TALLYGATE_KAFKA_BROKERS")
	if given != "" {
		k.Config.Brokers = strings.Split(given, ",")
	} else {
		c, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatalf("cannot start a fake broker: %v", err)
		}
		t.Cleanup(c.Close)
		k.Config.Brokers = c.ListenAddrs()
	}
	var err error
	k.Client, err = kgo.NewClient(kgo.SeedBrokers(k.Config.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatalf("cannot make a Kafka client: %v", err)
	}
	t.Cleanup(k.Client.Close)
	k.Admin = kadm.NewClient(k.Client)
	if given != "" {
		ctx, cancel := context.WithTimeout(t.Context(), setupTimeout)
		defer cancel()
		k.reset(ctx, t)
	}
	return k
}

// reset deletes what earlier tests left behind.
func (k *Kafka) reset(ctx context.Context, t testing.TB) {
	t.Helper()
	var topics []string
	for _, tp := range topic.All() {
		topics = append(topics, tp.Name)
	}
	if _, err := k.Admin.DeleteTopics(ctx, topics...); err != nil {
		t.Fatalf("cannot delete the topics of earlier tests: %v", err)
	}
	groups, err := k.Admin.ListGroups(ctx)
	if err != nil {
		t.Fatalf("cannot list the groups of earlier tests: %v", err)
	}
	for _, g := range groups.Groups() {
		if strings.HasPrefix(g, "tallygate.") {
			if _, err := k.Admin.DeleteGroups(ctx, g); err != nil {
				t.Fatalf("cannot delete the group %q of earlier tests: %v", g, err)
			}
		}
	}
	// A deletion is done a little after it is answered.
	for {
		found, err := k.Admin.ListTopics(ctx)
		if err == nil && !slices.ContainsFunc(topics, func(name string) bool { return found.Has(name) }) {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("the topics of earlier tests do not go away: %v", ctx.Err())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// Produce appends values to a partition, in order.
func (k *Kafka) Produce(t testing.TB, topicName string, partition int32, values ...[]byte) {
	t.Helper()
	var records []*kgo.Record
	for _, v := range values {
		records = append(records, &kgo.Record{Topic: topicName, Partition: partition, Value: v})
	}
	if err := k.Client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatalf("cannot produce to %s: %v", topicName, err)
	}
}

// Read returns the records of a topic from its start, once there are at least n.
func (k *Kafka) Read(t testing.TB, topicName string, n int) []*kgo.Record {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.Config.Brokers...), kgo.ConsumeTopics(topicName), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out []*kgo.Record
	for len(out) < n {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("unexpected number of records in %s; got %d; want at least %d", topicName, len(out), n)
		}
		out = append(out, fetches.Records()...)
	}
	return out
}

// Eventually waits until a condition holds.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("did not happen within 30 s: %s", what)
}
