package admin_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/topic"
	"github.com/tallygate/tallygate/schemas/topic/admin"
	"github.com/tallygate/tallygate/schemas/topic/kafkatest"
)

func cluster(t *testing.T) *kgo.Client {
	t.Helper()
	return kafkatest.Empty(t).Client
}

func kafka(partitions int) config.Kafka {
	return config.Kafka{Partitions: partitions, Replication: 1, MinInSync: 1, CreateTopics: true}
}

func TestEnsureTopicsByManyAtOnce(t *testing.T) {
	cl := cluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := admin.EnsureTopics(ctx, cl, kafka(3)); err != nil {
				t.Errorf("unexpected error: %s", err)
			}
		})
	}
	wg.Wait()
	found, err := kadm.NewClient(cl).ListTopics(ctx)
	if err != nil {
		t.Fatalf("cannot list topics: %s", err)
	}
	for _, tp := range topic.All() {
		want := 3
		if tp.Single {
			want = 1
		}
		if got := len(found[tp.Name].Partitions); got != want {
			t.Errorf("unexpected partitions of %s; got %d; want %d", tp.Name, got, want)
		}
	}
	rc, err := kadm.NewClient(cl).DescribeTopicConfigs(ctx, topic.Limits)
	if err != nil {
		t.Fatalf("cannot describe a topic: %s", err)
	}
	got := map[string]string{}
	for _, c := range rc[0].Configs {
		got[c.Key] = c.MaybeValue()
	}
	if got["message.timestamp.type"] != "LogAppendTime" || got["cleanup.policy"] != "compact" {
		t.Fatalf("unexpected settings of %s: %v", topic.Limits, got)
	}
}

func TestEnsureTopicsRefuses(t *testing.T) {
	f := func(cfg config.Kafka, want string) {
		t.Helper()
		cl := cluster(t)
		if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 5, 1, nil, topic.Requests); err != nil {
			t.Fatalf("cannot make a topic: %s", err)
		}
		err := admin.EnsureTopics(t.Context(), cl, cfg)
		if !errors.Is(err, admin.ErrUnfit) || !strings.Contains(err.Error(), want) {
			t.Fatalf("unexpected error; got %v; want one with %q", err, want)
		}
	}
	f(kafka(3), `topic "tallygate.requests.v1" has 5 partitions, kafka.partitions is 3`)
	f(config.Kafka{Partitions: 5, Replication: 1, MinInSync: 1}, "missing topics: tallygate.checkpoints, tallygate.control")
}

func TestEnsureTopicsWithoutBroker(t *testing.T) {
	cl, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:1"))
	if err != nil {
		t.Fatalf("cannot make a client: %s", err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := admin.EnsureTopics(ctx, cl, kafka(3)); err == nil || errors.Is(err, admin.ErrUnfit) {
		t.Fatalf("unexpected error; got %v; want one that is worth another try", err)
	}
}
