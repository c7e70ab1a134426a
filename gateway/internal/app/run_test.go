package app

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/freeport"
	"github.com/tallygate/tallygate/schemas/key"
	"github.com/tallygate/tallygate/schemas/topic"
)

// process is a gateway with a broker of its own.
type process struct {
	t      *testing.T
	kafka  *kfake.Cluster
	url    string
	stop   context.CancelFunc
	result chan error
}

func start(t *testing.T, prepare func(*kfake.Cluster)) *process {
	t.Helper()
	t.Setenv("TALLYGATE_PEPPER", strings.Repeat("p", key.MinPepperLen))
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatalf("cannot start a broker: %s", err)
	}
	t.Cleanup(kafka.Close)
	prepare(kafka)
	conf, err := config.Parse("test.yaml", []byte("policy: {}"), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatalf("cannot read the test's configuration: %s", err)
	}
	conf.Gateway.Listen, conf.Gateway.AdminListen = freeAddr(t), freeAddr(t)
	conf.Gateway.Data = t.TempDir()
	conf.Gateway.DrainTimeout = 5 * time.Second
	conf.Kafka = config.Kafka{Brokers: kafka.ListenAddrs(), Partitions: 2, Replication: 1, MinInSync: 1, CreateTopics: true}
	ctx, stop := context.WithCancel(t.Context())
	p := &process{t: t, kafka: kafka, url: "http://" + conf.Gateway.Listen, stop: stop, result: make(chan error, 1)}
	go func() { p.result <- Run(ctx, conf, "test.yaml", "test", slog.New(slog.DiscardHandler)) }()
	t.Cleanup(stop)
	return p
}

func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := freeport.Addr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// until waits for an answer with a status to a call without a key.
func (p *process) until(status int) {
	p.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		got := 0
		if resp, err := http.Get(p.url + "/v1/models"); err == nil {
			_ = resp.Body.Close()
			got = resp.StatusCode
		}
		if got == status {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("unexpected status after 20 s; got %d; want %d", got, status)
		}
	}
}

// ends stops the process and waits for its end.
func (p *process) ends() {
	p.t.Helper()
	p.stop()
	select {
	case err := <-p.result:
		if err != nil {
			p.t.Fatalf("unexpected error of Run: %s", err)
		}
	case <-time.After(15 * time.Second):
		p.t.Fatal("the process did not end within 15 s of being told to")
	}
}

// TestRunEndsBeforeItWasReady stops a gateway that never came to read its policy.
func TestRunEndsBeforeItWasReady(t *testing.T) {
	p := start(t, func(kafka *kfake.Cluster) {
		kafka.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
			kafka.KeepControl()
			ask := req.(*kmsg.ListOffsetsRequest)
			resp := ask.ResponseKind().(*kmsg.ListOffsetsResponse)
			for _, topicAsked := range ask.Topics {
				if topicAsked.Topic != topic.Control {
					return nil, nil, false
				}
				out := kmsg.NewListOffsetsResponseTopic()
				out.Topic = topicAsked.Topic
				for _, partition := range topicAsked.Partitions {
					o := kmsg.NewListOffsetsResponseTopicPartition()
					o.Partition, o.ErrorCode = partition.Partition, kerr.TopicAuthorizationFailed.Code
					out.Partitions = append(out.Partitions, o)
				}
				resp.Topics = append(resp.Topics, out)
			}
			return resp, nil, true
		})
	})
	p.until(503)
	// The balances are read meanwhile.
	time.Sleep(time.Second)
	p.ends()
}

// TestRunRecordsTheLastRefusals looks for refusals of the last second, which were
// only counted when the process was told to end.
func TestRunRecordsTheLastRefusals(t *testing.T) {
	p := start(t, func(*kfake.Cluster) {})
	p.until(401)
	const calls = 5
	for range calls {
		p.until(401)
	}
	p.ends()
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.kafka.ListenAddrs()...), kgo.ConsumeTopics(topic.Requests), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var counted uint64
	for ctx.Err() == nil && counted < calls+1 {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			var e event.Envelope
			if err := e.UnmarshalVT(r.Value); err != nil {
				t.Fatalf("cannot read a record: %s", err)
			}
			if c := e.GetDenialsCounted(); c != nil && c.Status == 401 {
				counted += c.Count
			}
		})
	}
	if counted != calls+1 {
		t.Fatalf("unexpected number of recorded refusals; got %d; want %d", counted, calls+1)
	}
}
