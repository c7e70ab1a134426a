package keeper_test

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/consumers/internal/keeper"
	"github.com/tallygate/tallygate/consumers/internal/projection"
	"github.com/tallygate/tallygate/consumers/internal/projection/ledger"
	"github.com/tallygate/tallygate/consumers/internal/projection/projectiontest"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/topic"
	"github.com/tallygate/tallygate/schemas/topic/kafkatest"
)

const (
	partition = 2
	gateway   = 7
)

func TestBalancesArePublished(t *testing.T) {
	k := kafkatest.Start(t)
	l := projectiontest.NewLog(t, partition)
	stop := start(t, k)
	a, b := l.ID(), l.ID()
	appendTo(t, k, l, admitted(a, time.Hour, 100))
	balance(t, k, 0, 100)
	appendTo(t, k, l, admitted(b, time.Hour, 30))
	appendTo(t, k, l, completed(a, 60))
	balance(t, k, 60, 30)
	stop()

	// Another one, which knows nothing, comes to the same.
	defer start(t, k)()
	appendTo(t, k, l, completed(b, 0))
	got := balance(t, k, 60, 0)
	if got.Partition != partition || got.Org != "org" || got.Incomplete {
		t.Fatalf("unexpected balance; got %v", got)
	}
	for _, p := range got.Parts {
		if p.Spool == gateway && (p.SettledNanos != 60 || p.HeldNanos != 0 || p.AppliedPseq != l.Pseq(gateway)) {
			t.Fatalf("unexpected part of the gateway; got %v; want 60 settled, all of its %d events applied", p, l.Pseq(gateway))
		}
	}
}

// A request that is not heard of again is charged, by events in the log.
func TestHoldsExpire(t *testing.T) {
	k := kafkatest.Start(t)
	l := projectiontest.NewLog(t, partition)
	defer start(t, k)()
	id := l.ID()
	appendTo(t, k, l, admitted(id, -time.Minute, 100))
	balance(t, k, 100, 0)
	appendTo(t, k, l, completed(id, 40))
	balance(t, k, 40, 0)
}

// Two keepers of the same partitions, which write over each other, do no harm.
func TestTwoKeepersAtOnce(t *testing.T) {
	k := kafkatest.Start(t)
	l := projectiontest.NewLog(t, partition)
	stop := start(t, k)
	defer start(t, k, kgo.ConsumerGroup("tallygate.other"))()
	for range 40 {
		appendTo(t, k, l, admitted(l.ID(), -time.Minute, 10))
	}
	balance(t, k, 400, 0)
	stop()
	f := refold(t, k)
	if got := f.Balances(); len(got) != 1 || got[0].SettledNanos != 400 || got[0].HeldNanos != 0 || got[0].Incomplete {
		t.Fatalf("unexpected balances of the log; got %v; want 400 settled", got)
	}
	t.Logf("the log has %d void events", f.Counts().Void)
}

func TestPolicyVersionIsNamedInTheLog(t *testing.T) {
	k := kafkatest.Start(t)
	k.Produce(t, topic.Control, 0, []byte("a"), []byte("b"))
	stop := start(t, k)
	kafkatest.Eventually(t, "policy_seen in the log", func() bool { return refold(t, k).PolicyVersion() == 2 })
	stop()
	// An orderly end closes the keeper's spool.
	closed := false
	for _, r := range k.Read(t, topic.Requests, kafkatest.Partitions*3) {
		ev := new(event.Envelope)
		if err := ev.UnmarshalVT(r.Value); err != nil {
			t.Fatal(err)
		}
		if c := ev.GetSpoolClosed(); c != nil && r.Partition == partition {
			closed = true
			if c.LastPseq != 2 || ev.Pseq != 3 {
				t.Fatalf("unexpected end of the spool; got %v with pseq %d; want last 2, pseq 3", c, ev.Pseq)
			}
		}
	}
	if !closed {
		t.Fatal("the keeper's spool was not closed")
	}
}

func start(t *testing.T, k *kafkatest.Kafka, opts ...kgo.Opt) (stop func()) {
	t.Helper()
	kp, err := keeper.New(keeper.Options{Kafka: k.Config, HoldGrace: time.Second, Replica: "test", Client: opts})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		kp.Run(ctx)
	}()
	kafkatest.Eventually(t, "the keeper is at work", func() bool { return len(kp.Status()) == 0 })
	return func() {
		cancel()
		<-done
	}
}

func appendTo(t *testing.T, k *kafkatest.Kafka, l *projectiontest.Log, ev *event.Envelope) {
	t.Helper()
	k.Produce(t, topic.Requests, partition, l.Seal(gateway, "org", ev))
}

func hold(nanos int64) *event.Hold {
	return &event.Hold{Budget: "b", WindowStart: 0, WindowEnd: 1<<63 - 1, AmountNanos: nanos}
}

func admitted(id []byte, until time.Duration, nanos int64) *event.Envelope {
	return &event.Envelope{Body: &event.Envelope_Admitted{Admitted: &event.Admitted{
		Facts: &event.Facts{RequestId: id}, Holds: []*event.Hold{hold(nanos)}, HoldsUntil: time.Now().Add(until).UnixNano(),
	}}}
}

func completed(id []byte, nanos int64) *event.Envelope {
	held := int64(binary.BigEndian.Uint64(id[8:])) // Any amount will do: the ledger knows the hold.
	return &event.Envelope{Body: &event.Envelope_Completed{Completed: &event.Completed{
		Facts: &event.Facts{RequestId: id}, Settlements: []*event.Settlement{{Hold: hold(held), AmountNanos: nanos}},
	}}}
}

// balance waits until the last balance of the budget has the amounts.
func balance(t *testing.T, k *kafkatest.Kafka, settled, held int64) *event.Balance {
	t.Helper()
	var last *event.Balance
	kafkatest.Eventually(t, "the balance", func() bool {
		last = new(event.Balance)
		for _, r := range k.Read(t, topic.Limits, 1) {
			if r.Partition != partition || string(r.Key) != "b" {
				t.Fatalf("unexpected place of a balance; got partition %d, key %q", r.Partition, r.Key)
			}
			last = new(event.Balance)
			if err := last.UnmarshalVT(r.Value); err != nil {
				t.Fatal(err)
			}
		}
		return last.SettledNanos == settled && last.HeldNanos == held
	})
	return last
}

// refold folds the partition as it is in Kafka.
func refold(t *testing.T, k *kafkatest.Kafka) *ledger.Fold {
	t.Helper()
	end, err := k.Admin.ListEndOffsets(t.Context(), topic.Requests)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for p := range int32(kafkatest.Partitions) {
		o, _ := end.Lookup(topic.Requests, p)
		n += int(o.Offset)
	}
	f := ledger.New(partition)
	for _, r := range k.Read(t, topic.Requests, n) {
		if r.Partition != partition {
			continue
		}
		rec, err := projection.Read(r.Topic, r.Partition, r.Offset, r.Timestamp, r.Value)
		if err != nil {
			t.Fatal(err)
		}
		f.Apply(rec)
	}
	return f
}
