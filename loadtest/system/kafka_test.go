//go:build system

package system

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// newKafka makes the broker that TALLYGATE_TEST_KAFKA names: "real" is Apache Kafka,
// empty the embedded one.
func (s *stack) newKafka() *process {
	s.t.Helper()
	program := ""
	switch kind := os.Getenv("TALLYGATE_TEST_KAFKA"); kind {
	case "", "embedded":
		program = "kafkalocal"
	case "real":
		program = "kafkareal"
	default:
		s.t.Fatalf("unexpected TALLYGATE_TEST_KAFKA=%q; want real, embedded or nothing", kind)
	}
	p := s.newProcess("kafka", program, nil, "-addr", s.kafkaAddr, "-data", filepath.Join(s.dir, "kafka"))
	p.addr = s.kafkaAddr
	p.ready = func() error { return brokerAnswers(s.kafkaAddr) }
	return p
}

func brokerAnswers(addr string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RequestRetries(0), kgo.DialTimeout(time.Second))
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	meta, err := kadm.NewClient(cl).BrokerMetadata(ctx)
	if err == nil && len(meta.Brokers) == 0 {
		err = fmt.Errorf("the broker at %s lists no broker", addr)
	}
	return err
}
