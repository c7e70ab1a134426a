// Package brokertest is what every broker of the stack must do, the embedded one
// as the real one.
package brokertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/deploy/local/internal/stacktest"
)

// Run tests a command of deploy/local/cmd, which it builds.
func Run(t *testing.T, command string) {
	binary, err := stacktest.Build(t.TempDir(), command)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("append time", func(t *testing.T) { appendTime(t, binary) })
	t.Run("killed", func(t *testing.T) { killedBrokerLosesNothing(t, binary) })
	t.Run("start fails", func(t *testing.T) { startFails(t, binary) })
}

func client(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(addr))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func createTopic(t *testing.T, c *kgo.Client, name string) {
	t.Helper()
	kind := "LogAppendTime"
	_, err := kadm.NewClient(c).CreateTopic(context.Background(), 3, 1, map[string]*string{"message.timestamp.type": &kind}, name)
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Fatalf("cannot create the topic %q: %v", name, err)
	}
}

func produce(t *testing.T, c *kgo.Client, topic string, n int, stamp time.Time) {
	t.Helper()
	var records []*kgo.Record
	for i := range n {
		records = append(records, &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "%d", i), Timestamp: stamp})
	}
	if err := c.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		t.Fatalf("cannot produce: %v", err)
	}
}

func consume(t *testing.T, c *kgo.Client, n int) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var records []*kgo.Record
	for len(records) < n {
		f := c.PollFetches(ctx)
		if err := f.Err(); err != nil {
			t.Fatalf("cannot fetch after %d of %d records: %v", len(records), n, err)
		}
		records = append(records, f.Records()...)
	}
	return records
}

// The ledger's clock is the highest time of append, whatever the producer says.
func appendTime(t *testing.T, binary string) {
	p := stacktest.Start(t, binary, "-addr", "127.0.0.1:0", "-data", t.TempDir())
	f := func(topic string, codec kgo.CompressionCodec, stamps ...time.Time) {
		t.Helper()
		before := time.Now().Truncate(time.Millisecond)
		c := client(t, p.Addr, kgo.ProducerBatchCompression(codec), kgo.ConsumeTopics(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		createTopic(t, c, topic)
		var records []*kgo.Record
		for _, stamp := range stamps {
			records = append(records, &kgo.Record{Topic: topic, Value: []byte("v"), Timestamp: stamp})
		}
		if err := c.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		after := time.Now()
		var highest time.Time
		for _, r := range consume(t, c, len(stamps)) {
			if r.Timestamp.After(highest) {
				highest = r.Timestamp
			}
		}
		if highest.Before(before) || highest.After(after) {
			t.Fatalf("unexpected highest time %s; want one from %s to %s", highest, before, after)
		}
	}
	past, future := time.Unix(1_000_000_000, 0), time.Now().Add(24*time.Hour)
	f("past", kgo.NoCompression(), past, past)
	f("mixed", kgo.ZstdCompression(), past, future, past.Add(time.Hour))
	f("future", kgo.SnappyCompression(), future)
}

func killedBrokerLosesNothing(t *testing.T, binary string) {
	data := t.TempDir()
	const rounds, each = 3, 2000
	for round := range rounds {
		p := stacktest.Start(t, binary, "-addr", "127.0.0.1:0", "-data", data)
		c := client(t, p.Addr)
		createTopic(t, c, "kept")
		produce(t, c, "kept", each, time.Now())
		group := kadm.NewClient(c)
		var offsets kadm.Offsets
		offsets.AddOffset("kept", 0, int64(round+1), -1)
		if err := group.CommitAllOffsets(context.Background(), "readers", offsets); err != nil {
			t.Fatalf("cannot commit: %v", err)
		}
		p.Kill()
	}
	p := stacktest.Start(t, binary, "-addr", "127.0.0.1:0", "-data", data)
	c := client(t, p.Addr, kgo.ConsumeTopics("kept"))
	if got := len(consume(t, c, rounds*each)); got != rounds*each {
		t.Fatalf("unexpected number of records; got %d; want %d", got, rounds*each)
	}
	offsets, err := kadm.NewClient(c).FetchOffsets(context.Background(), "readers")
	if err != nil {
		t.Fatal(err)
	}
	if o, _ := offsets.Lookup("kept", 0); o.At != rounds {
		t.Fatalf("unexpected committed offset; got %d; want %d", o.At, rounds)
	}
	if status := p.Stop(t); status != 0 {
		t.Fatalf("unexpected status after SIGTERM; got %d; want 0", status)
	}
}

func startFails(t *testing.T, binary string) {
	data := t.TempDir()
	p := stacktest.Start(t, binary, "-addr", "127.0.0.1:0", "-data", data)
	f := func(want string, args ...string) {
		t.Helper()
		if _, err := stacktest.Run(t, binary, args...); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "status 1") {
			t.Fatalf("unexpected error; got %v; want one with %q", err, want)
		}
	}
	f("address already in use; stop the other process or set TALLYGATE_KAFKA_ADDR", "-addr", p.Addr, "-data", t.TempDir())
	f("in use by process", "-addr", "127.0.0.1:0", "-data", data)
	f("cannot make the data folder", "-addr", "127.0.0.1:0", "-data", "/proc/none")
}
