package run_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/consumers/internal/clickhouse/clickhousetest"
	"github.com/tallygate/tallygate/consumers/internal/projection"
	"github.com/tallygate/tallygate/consumers/internal/projection/audit"
	"github.com/tallygate/tallygate/consumers/internal/projection/ledger"
	"github.com/tallygate/tallygate/consumers/internal/projection/projectiontest"
	"github.com/tallygate/tallygate/consumers/internal/projection/rollup"
	"github.com/tallygate/tallygate/consumers/internal/run"
	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/topic"
	"github.com/tallygate/tallygate/schemas/topic/kafkatest"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

// partition is the one that random logs are of.
const partition = 3

var settings = config.Consumers{BatchRows: 40, BatchBytes: 1 << 20, FlushInterval: 20 * time.Millisecond}

// Whatever is killed, and wherever an insert fails, each row is in the table once,
// without any help from ORDER BY or FINAL.
func TestEveryRowOnce(t *testing.T) {
	f := func(name string, begin func() projection.Projection) {
		t.Run(name, func(t *testing.T) {
			seed := uint64(len(name))
			k, w := kafkatest.Start(t), projectiontest.Random(t, seed, 500)
			produce(t, k, w)
			s := newStore(t)
			rng := rand.New(rand.NewPCG(seed, 3))
			s.fault = flaky(rng)
			for kills := range 6 {
				stop := startFor(t, k, s, begin())
				want := len(w.Records) * (kills + 1) / 8
				kafkatest.Eventually(t, "some progress", func() bool { return committed(t, k, name) >= int64(want) })
				// As a kill does it: nothing that it still tries succeeds.
				s.set(func() { s.fault = func() string { return []string{"before", "after"}[kills%2] } })
				time.Sleep(50 * time.Millisecond)
				stop()
				s.set(func() { s.fault = flaky(rng) })
			}
			stop := startFor(t, k, s, begin())
			kafkatest.Eventually(t, "all committed", func() bool { return committed(t, k, name) == int64(len(w.Records)) })
			stop()
			if want, got := texts(expected(t, k, begin())), texts(s.rows); !maps.Equal(got, want) {
				t.Fatalf("unexpected rows; got %d of %d kinds; want %d of %d", len(s.rows), len(got), sum(want), len(want))
			}
		})
	}
	f(audit.Name, func() projection.Projection { return audit.Audit{} })
	f(ledger.Name, func() projection.Projection { return ledger.NewLedger() })
}

// The control: in a table without deduplication a lost answer doubles the rows.
func TestWithoutTokensRowsAreDoubled(t *testing.T) {
	k, w := kafkatest.Start(t), projectiontest.Random(t, 5, 100)
	produce(t, k, w)
	s := newStore(t)
	s.forgetful = true
	n := 0
	s.fault = func() string {
		if n++; n == 1 {
			return "after"
		}
		return ""
	}
	stop := startFor(t, k, s, audit.Audit{})
	kafkatest.Eventually(t, "all committed", func() bool { return committed(t, k, audit.Name) == int64(len(w.Records)) })
	stop()
	if want := len(expected(t, k, audit.Audit{})); s.len() <= want {
		t.Fatalf("unexpected number of rows; got %d; want more than %d", s.len(), want)
	}
}

// Members come and go; a partition's batches stay the same.
func TestRebalances(t *testing.T) {
	k, w := kafkatest.Start(t), projectiontest.Random(t, 6, 400)
	s := newStore(t)
	s.fault = flaky(rand.New(rand.NewPCG(6, 6)))
	var stops []func()
	for i := range 5 {
		part := len(w.Records) / 5
		for _, rec := range w.Records[i*part : min((i+1)*part+i/4*5, len(w.Records))] {
			k.Produce(t, topic.Requests, partition, rec.Bytes)
		}
		stops = append(stops, startFor(t, k, s, ledger.NewLedger()))
		if i > 1 {
			stops[i-2]()
		}
	}
	end := ends(t, k)
	kafkatest.Eventually(t, "all committed", func() bool { return committed(t, k, ledger.Name) == end })
	for _, stop := range stops[3:] {
		stop()
	}
	if want, got := texts(expected(t, k, ledger.NewLedger())), texts(s.rows); !maps.Equal(got, want) {
		t.Fatalf("unexpected rows; got %d of %d kinds; want %d of %d", len(s.rows), len(got), sum(want), len(want))
	}
}

// What cannot be read is set aside with the reason and does not stop the partition.
func TestUnreadableRecordsAreSetAside(t *testing.T) {
	k := kafkatest.Start(t)
	l := projectiontest.NewLog(t, 0)
	good := func() []byte {
		return l.Seal(1, "org", &event.Envelope{Body: &event.Envelope_Tick{Tick: &event.Tick{}}})
	}
	changed := good()
	changed[3]++
	k.Produce(t, topic.Requests, 0, good(), []byte("garbage"), nil, changed, good())
	elsewhere := good()
	k.Produce(t, topic.Requests, 1, elsewhere)
	s := newStore(t)
	stop := startFor(t, k, s, audit.Audit{})
	defer stop()
	kafkatest.Eventually(t, "the good records", func() bool { return s.len() == 2 })
	want := []struct {
		partition int32
		offset    int64
		reason    string
	}{{0, 1, "too short"}, {0, 2, "too short"}, {0, 3, "hash"}, {1, 0, "belongs to partition 0"}}
	letters := map[string]*event.DeadLetter{}
	for _, r := range k.Read(t, topic.DeadLetter, len(want)) {
		d := new(event.DeadLetter)
		if err := d.UnmarshalVT(r.Value); err != nil {
			t.Fatal(err)
		}
		letters[fmt.Sprint(d.Partition, d.Offset)] = d
	}
	for _, x := range want {
		d := letters[fmt.Sprint(x.partition, x.offset)]
		if d == nil || d.Topic != topic.Requests || d.Consumer != audit.Name || !strings.Contains(d.Reason, x.reason) {
			t.Errorf("unexpected dead letter of partition %d, offset %d; got %v; want one with %q", x.partition, x.offset, d, x.reason)
		}
	}
}

// A dead letter is written once, however often the rest of its batch is tried.
func TestUnreadableRecordsAreSetAsideOnce(t *testing.T) {
	k := kafkatest.Start(t)
	l := projectiontest.NewLog(t, partition)
	good := l.Seal(1, "org", &event.Envelope{Body: &event.Envelope_Tick{Tick: &event.Tick{}}})
	k.Produce(t, topic.Requests, partition, good, []byte("garbage"))
	s := newStore(t)
	attempts := 0
	s.fault = func() string {
		if attempts++; attempts < 3 {
			return "before"
		}
		return ""
	}
	stop := startFor(t, k, s, audit.Audit{})
	kafkatest.Eventually(t, "all committed", func() bool { return committed(t, k, audit.Name) == 2 })
	stop()
	if got := len(k.Read(t, topic.DeadLetter, 1)); got != 1 {
		t.Fatalf("unexpected number of dead letters after %d attempts; got %d; want 1", attempts, got)
	}
}

// A record as large as Kafka takes it is set aside too, wherever its bytes are.
func TestLargeRecordsAreSetAside(t *testing.T) {
	f := func(keyBytes, valueBytes int) {
		t.Helper()
		k := kafkatest.Start(t)
		r := &kgo.Record{Topic: topic.Requests, Partition: partition, Key: make([]byte, keyBytes), Value: make([]byte, valueBytes)}
		if err := k.Client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		stop := startFor(t, k, newStore(t), audit.Audit{})
		defer stop()
		kafkatest.Eventually(t, "the record is passed", func() bool { return committed(t, k, audit.Name) == 1 })
	}
	f(0, 990_000)
	f(990_000, 0)
	f(490_000, 500_000)
}

// A row that ClickHouse rejects is found among many; only its record is set aside.
func TestRejectedRowsAreSetAside(t *testing.T) {
	k, w := kafkatest.Start(t), projectiontest.Random(t, 7, 200)
	produce(t, k, w)
	s := newStore(t)
	s.rejected = func(r projection.Row) bool {
		e, ok := r.(*audit.EventRow)
		return ok && (e.Offset == 17 || e.Offset == 60)
	}
	stop := startFor(t, k, s, audit.Audit{})
	defer stop()
	kafkatest.Eventually(t, "all committed", func() bool { return committed(t, k, audit.Name) == int64(len(w.Records)) })
	dead := k.Read(t, topic.DeadLetter, 2)
	if len(dead) != 2 {
		t.Fatalf("unexpected number of dead letters; got %d; want 2", len(dead))
	}
	events := 0
	for _, r := range s.rows {
		if _, ok := r.(*audit.EventRow); ok {
			events++
		}
	}
	if want := len(w.Records) - 2; events != want {
		t.Fatalf("unexpected number of events; got %d; want %d", events, want)
	}
}

func TestStatusWhileClickHouseIsAway(t *testing.T) {
	k, w := kafkatest.Start(t), projectiontest.Random(t, 8, 100)
	produce(t, k, w)
	s := newStore(t)
	s.fault = func() string { return "before" }
	e := newEngine(t, k, s, audit.Audit{})
	if got := e.Status(); len(got) != 1 || !strings.Contains(got[0], "group") {
		t.Fatalf("unexpected status before the start; got %q", got)
	}
	stop := start(e)
	defer stop()
	kafkatest.Eventually(t, "the status names ClickHouse", func() bool { return strings.Contains(strings.Join(e.Status(), ""), "ClickHouse") })
	s.set(func() { s.fault = func() string { return "" } })
	kafkatest.Eventually(t, "all committed", func() bool { return committed(t, k, audit.Name) == int64(len(w.Records)) })
	kafkatest.Eventually(t, "the status is clear", func() bool { return len(e.Status()) == 0 })
}

// Going on elsewhere would hide that records were lost before they were read.
func TestLogThatLostWhatWasNotRead(t *testing.T) {
	k, w := kafkatest.Start(t), projectiontest.Random(t, 11, 100)
	produce(t, k, w)
	stop := startFor(t, k, newStore(t), audit.Audit{})
	kafkatest.Eventually(t, "all committed", func() bool { return committed(t, k, audit.Name) == int64(len(w.Records)) })
	stop()
	produce(t, k, w)
	lost := kadm.Offsets{}
	lost.AddOffset(topic.Requests, partition, int64(len(w.Records))+10, -1)
	if _, err := k.Admin.DeleteRecords(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	s := newStore(t)
	e := newEngine(t, k, s, audit.Audit{})
	defer start(e)()
	kafkatest.Eventually(t, "the status says so", func() bool { return strings.Contains(strings.Join(e.Status(), ""), "records were lost") })
	if s.len() > 0 {
		t.Fatalf("unexpected rows after a loss; got %d; want none", s.len())
	}
}

func TestRollupWaitsForTheAuditTable(t *testing.T) {
	k, w := kafkatest.Start(t), projectiontest.Random(t, 9, 100)
	produce(t, k, w)
	s := newStore(t)
	stop := startFor(t, k, s, rollup.Rollup{})
	defer stop()
	time.Sleep(500 * time.Millisecond)
	if s.execs != 0 || committed(t, k, rollup.Name) > 0 {
		t.Fatal("the rollup must not be computed before the audit table has the outcomes")
	}
	defer startFor(t, k, newStore(t), audit.Audit{})()
	kafkatest.Eventually(t, "all committed", func() bool { return committed(t, k, rollup.Name) == int64(len(w.Records)) })
	if s.execs == 0 {
		t.Fatal("the rollup was never computed")
	}
}

// All three projections on the real ClickHouse say the same of the same log.
func TestTablesAgree(t *testing.T) {
	db := clickhousetest.Migrated(t)
	k, w := kafkatest.Start(t), projectiontest.Random(t, 10, 1000)
	produce(t, k, w)
	names := []string{ledger.Name, audit.Name, rollup.Name}
	for _, p := range []projection.Projection{ledger.NewLedger(), audit.Audit{}, rollup.Rollup{}} {
		defer startFor(t, k, db, p)()
	}
	for _, name := range names {
		kafkatest.Eventually(t, name+" committed all", func() bool { return committed(t, k, name) == int64(len(w.Records)) })
	}
	var want int64
	for _, r := range w.Requests {
		if r.Completed != nil {
			want += r.Completed.CostNanos
		}
	}
	for _, query := range []string{
		"SELECT toInt64(sum(toInt128(cost_nanos))) FROM requests FINAL",
		"SELECT toInt64(sum(toInt128(cost_nanos))) FROM rollup_minute FINAL",
		"SELECT toInt64(sum(toInt128(amount_nanos))) FROM ledger_entries FINAL WHERE entry = 'cost'",
		// Without FINAL: the tokens alone kept repetitions out.
		"SELECT toInt64(sum(toInt128(amount_nanos))) FROM ledger_entries WHERE entry = 'cost'",
	} {
		var got int64
		if err := db.QueryRow(t.Context(), query).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("unexpected cost by %q; got %d; want %d", query, got, want)
		}
	}
	f := ledger.New(partition)
	for _, rec := range w.Records {
		f.Apply(rec)
	}
	for _, b := range f.Balances() {
		var settled, held int64
		if err := db.QueryRow(t.Context(), "SELECT toInt64(settled_nanos), toInt64(held_nanos) FROM balances WHERE budget = ? AND toUnixTimestamp64Nano(window_start) = ?",
			b.Budget, b.WindowStart).Scan(&settled, &held); err != nil {
			t.Fatal(err)
		}
		if settled != b.SettledNanos || held != b.HeldNanos {
			t.Errorf("unexpected balance of %s; got %d settled, %d held; want %d, %d", b.Budget, settled, held, b.SettledNanos, b.HeldNanos)
		}
	}
}

func newEngine(t *testing.T, k *kafkatest.Kafka, s run.Store, p projection.Projection) *run.Engine {
	t.Helper()
	e, err := run.New(p, s, k.Config, settings)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// start runs an engine and returns what stops it.
func start(e *run.Engine) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

func startFor(t *testing.T, k *kafkatest.Kafka, s run.Store, p projection.Projection) (stop func()) {
	t.Helper()
	return start(newEngine(t, k, s, p))
}

func produce(t *testing.T, k *kafkatest.Kafka, w *projectiontest.Traffic) {
	t.Helper()
	var values [][]byte
	for _, rec := range w.Records {
		values = append(values, rec.Bytes)
	}
	k.Produce(t, topic.Requests, partition, values...)
}

// expected returns the rows that one undisturbed projection makes of the log in Kafka,
// whose append times are the broker's.
func expected(t *testing.T, k *kafkatest.Kafka, p projection.Projection) []projection.Row {
	t.Helper()
	if f, ok := p.(projection.Folder); ok {
		f.Refold(topic.Requests, partition)
	}
	rows := &projection.Rows{}
	for _, r := range k.Read(t, topic.Requests, int(ends(t, k))) {
		rec, err := projection.Read(r.Topic, r.Partition, r.Offset, r.Timestamp, r.Value)
		if err != nil {
			t.Fatal(err)
		}
		if err := rows.Apply(p, rec); err != nil {
			t.Fatal(err)
		}
	}
	return rows.All()
}

// committed is where a projection's group stands, or -1 while a batch is under way or nothing was committed.
func committed(t *testing.T, k *kafkatest.Kafka, name string) int64 {
	t.Helper()
	offsets, err := k.Admin.FetchOffsets(t.Context(), run.Group(name))
	if err != nil {
		return -1
	}
	o, ok := offsets.Lookup(topic.Requests, partition)
	if !ok {
		return -1
	}
	return o.At
}

func ends(t *testing.T, k *kafkatest.Kafka) int64 {
	t.Helper()
	offsets, err := k.Admin.ListEndOffsets(t.Context(), topic.Requests)
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	offsets.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n
}

func sum(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}
