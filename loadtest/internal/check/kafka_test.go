package check

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/schemas/topic"
	"github.com/tallygate/tallygate/schemas/topic/kafkatest"
)

func TestReadLog(t *testing.T) {
	brokers := kafkatest.Start(t).Config.Brokers
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	producer, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	records := goodLog(t)
	for _, r := range records {
		if err := producer.ProduceSync(ctx, &kgo.Record{Topic: topic.Requests, Partition: r.partition, Value: r.value}).FirstErr(); err != nil {
			t.Fatalf("cannot produce: %s", err)
		}
	}
	l, err := ReadLog(ctx, brokers)
	if err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	if got, want := l.Summary(), summed(records).Summary(); got != want || l.Findings.Count("") != 0 {
		t.Fatalf("unexpected summary; got %+v; want %+v; defects: %s", got, want, text(&l.Findings))
	}
}

func TestReadLogWithoutTopic(t *testing.T) {
	brokers := kafkatest.Empty(t).Config.Brokers
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := ReadLog(ctx, brokers); err == nil || !strings.Contains(err.Error(), topic.Requests) {
		t.Fatalf("unexpected error where the topic is missing: %v", err)
	}
}
