package ship

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tallygate/tallygate/gateway/internal/spool"
	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/event"
)

const partitions = 3

// kafka gives brokers and a fresh topic: those of TALLYGATE_KAFKA_BROKERS, or ones
// in this process.
func kafka(t *testing.T) (config.Kafka, string) {
	t.Helper()
	conf := config.Kafka{Partitions: partitions, Replication: 1, MinInSync: 1}
	if v := os.Getenv("TALLYGATE_KAFKA_BROKERS"); v != "" {
		conf.Brokers = strings.Split(v, ",")
	} else {
		c, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatalf("cannot start a broker: %s", err)
		}
		t.Cleanup(c.Close)
		conf.Brokers = c.ListenAddrs()
	}
	name := fmt.Sprintf("test.ship.%x", event.NewSpool())
	makeTopic(t, conf, name)
	return conf, name
}

func makeTopic(t *testing.T, conf config.Kafka, name string) {
	t.Helper()
	adm := kadm.NewClient(client(t, conf))
	if _, err := adm.CreateTopic(t.Context(), partitions, 1, nil, name); err != nil {
		t.Fatalf("cannot make topic %q: %s", name, err)
	}
}

func client(t *testing.T, conf config.Kafka) *kgo.Client {
	t.Helper()
	cl, err := NewClient(conf, "test")
	if err != nil {
		t.Fatalf("cannot make a client: %s", err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// shipper ships to a topic of the test's own.
func shipper(t *testing.T, conf config.Kafka, l *spool.Log, topic string) *Shipper {
	t.Helper()
	return New(client(t, conf), l, Options{Topic: topic, Log: slog.New(slog.DiscardHandler)})
}

func openSpool(t *testing.T) *spool.Spool {
	t.Helper()
	s, err := spool.Open(spool.Options{
		Dir: t.TempDir(), Role: "gateway", QuotaBytes: 64 << 20, SegmentBytes: 64 << 10, Sync: spool.SyncNever, Partitions: partitions})
	if err != nil {
		t.Fatalf("cannot open a spool: %s", err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

func appendMany(t *testing.T, s *spool.Spool, n int) {
	t.Helper()
	for i := range n {
		id := event.NewID(time.Now())
		p := int32(i % partitions)
		env := &event.Envelope{Id: id[:], Spool: s.ID(), Partition: uint32(p), OccurredAt: time.Now().UnixNano(), Org: fmt.Sprint("org", p),
			Body: &event.Envelope_Completed{Completed: &event.Completed{Facts: &event.Facts{RequestId: id[:], UserAgent: strings.Repeat("x", i%500)}}}}
		body, err := env.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Append(&spool.Entry{Partition: p, Body: body}); err != nil {
			t.Fatalf("cannot append: %s", err)
		}
	}
}

// start runs a shipper until the test ends; the returned function ends it earlier.
func start(t *testing.T, s *Shipper) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	ended := false
	stop = func() {
		if cancel(); ended {
			return
		}
		ended = true
		if err := <-done; err != nil {
			t.Errorf("unexpected error of Run: %s", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func drain(t *testing.T, s *Shipper) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Drain(ctx); err != nil {
		t.Fatalf("cannot drain: %s", err)
	}
}

// checkTopic reads the topic to its end and checks that each partition has the
// spool's records in sequence and chained, with repetitions, up to pseq want.
func checkTopic(t *testing.T, conf config.Kafka, name string, id uint64, want map[int32]uint64) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(conf.Brokers...), kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	high := map[int32]uint64{}
	heads := map[int32]event.Hash{}
	left := len(want)
	for left > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("cannot read the topic; got %v; want %v: %s", high, want, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			seal, err := event.OpenSeal(r.Value)
			if err != nil {
				t.Fatalf("offset %d: %s", r.Offset, err)
			}
			var env event.Envelope
			if err := env.UnmarshalVT(r.Value); err != nil || env.Spool != id || env.Partition != uint32(r.Partition) || env.Org != string(r.Key) {
				t.Fatalf("partition %d, offset %d holds the wrong record: %v, key %q, error %v", r.Partition, r.Offset, &env, r.Key, err)
			}
			switch {
			case seal.Pseq <= high[r.Partition]:
			case seal.Pseq == high[r.Partition]+1 && seal.Prev == heads[r.Partition]:
				high[r.Partition], heads[r.Partition] = seal.Pseq, seal.Hash
				if seal.Pseq == want[r.Partition] {
					left--
				}
			default:
				t.Fatalf("partition %d, offset %d: pseq %d after %d", r.Partition, r.Offset, seal.Pseq, high[r.Partition])
			}
		})
	}
}

func TestShip(t *testing.T) {
	conf, name := kafka(t)
	sp := openSpool(t)
	s := shipper(t, conf, sp.Log, name)
	appendMany(t, sp, 300)
	stop := start(t, s)
	appendMany(t, sp, 3000)
	if err := sp.Close(t.Context()); err != nil {
		t.Fatalf("cannot close: %s", err)
	}
	drain(t, s)
	st := s.Stats()
	if st.UnshippedRecords != 0 || st.UnshippedBytes != 0 || st.OldestUnshipped != 0 || st.Shipped != 3306 || st.Refused != 0 {
		t.Fatalf("unexpected figures: %+v", st)
	}
	stop()
	checkTopic(t, conf, name, sp.ID(), map[int32]uint64{0: 1102, 1: 1102, 2: 1102})
	if sp.Bytes() > 128<<10 {
		t.Fatalf("the spool still holds %d bytes of what Kafka has", sp.Bytes())
	}
}

func TestShipGoesOnWhereItEnded(t *testing.T) {
	conf, name := kafka(t)
	sp := openSpool(t)
	appendMany(t, sp, 1000)
	first := shipper(t, conf, sp.Log, name)
	stop := start(t, first)
	drain(t, first)
	stop()
	appendMany(t, sp, 1000)
	if err := sp.Close(t.Context()); err != nil {
		t.Fatalf("cannot close: %s", err)
	}
	old, err := spool.OpenLog(sp.Dir())
	if err != nil {
		t.Fatalf("cannot open the old spool: %s", err)
	}
	second := shipper(t, conf, old, name)
	start(t, second)
	drain(t, second)
	if st := second.Stats(); st.Shipped != 1003 {
		t.Fatalf("unexpected number of records shipped again; got %d; want 1003", st.Shipped)
	}
	checkTopic(t, conf, name, sp.ID(), map[int32]uint64{0: 669, 1: 668, 2: 668})
}

func TestShipWithoutKafkaAtFirst(t *testing.T) {
	// A port that is free now, and Kafka's later.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	conf := config.Kafka{Brokers: []string{addr.String()}}
	sp := openSpool(t)
	appendMany(t, sp, 50)
	s := shipper(t, conf, sp.Log, "late")
	_ = l.Close()
	start(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := s.Drain(ctx); err == nil || !strings.Contains(err.Error(), "cannot bring 53 records") {
		t.Fatalf("unexpected error without Kafka: %v", err)
	}
	if st := s.Stats(); st.UnshippedRecords != 53 || st.UnshippedBytes == 0 || st.OldestUnshipped < 200*time.Millisecond {
		t.Fatalf("unexpected figures without Kafka: %+v", st)
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(addr.Port))
	if err != nil {
		t.Fatalf("cannot start a broker: %s", err)
	}
	t.Cleanup(c.Close)
	makeTopic(t, conf, "late")
	drain(t, s)
	checkTopic(t, conf, "late", sp.ID(), map[int32]uint64{0: 18, 1: 18, 2: 17})
}

func TestShipAfterRefusal(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatalf("cannot start a broker: %s", err)
	}
	t.Cleanup(c.Close)
	conf := config.Kafka{Brokers: c.ListenAddrs()}
	makeTopic(t, conf, "refused")
	// The first produce requests are refused for good, as far as the client knows.
	left := 3
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		if left == 0 {
			return nil, nil, false
		}
		left--
		c.KeepControl()
		pr := req.(*kmsg.ProduceRequest)
		resp := pr.ResponseKind().(*kmsg.ProduceResponse)
		for _, rt := range pr.Topics {
			t := kmsg.NewProduceResponseTopic()
			t.Topic, t.TopicID = rt.Topic, rt.TopicID
			for _, rp := range rt.Partitions {
				p := kmsg.NewProduceResponseTopicPartition()
				p.Partition, p.ErrorCode = rp.Partition, kerr.TopicAuthorizationFailed.Code
				t.Partitions = append(t.Partitions, p)
			}
			resp.Topics = append(resp.Topics, t)
		}
		return resp, nil, true
	})
	sp := openSpool(t)
	appendMany(t, sp, 100)
	s := shipper(t, conf, sp.Log, "refused")
	start(t, s)
	drain(t, s)
	if st := s.Stats(); st.Refused == 0 {
		t.Fatalf("nothing was refused; the test does not test: %+v", st)
	}
	checkTopic(t, conf, "refused", sp.ID(), map[int32]uint64{0: 35, 1: 34, 2: 34})
}
