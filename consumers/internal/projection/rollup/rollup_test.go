package rollup_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/tallygate/tallygate/consumers/internal/clickhouse"
	"github.com/tallygate/tallygate/consumers/internal/clickhouse/clickhousetest"
	"github.com/tallygate/tallygate/consumers/internal/projection"
	"github.com/tallygate/tallygate/consumers/internal/projection/audit"
	"github.com/tallygate/tallygate/consumers/internal/projection/projectiontest"
	"github.com/tallygate/tallygate/consumers/internal/projection/rollup"
	"github.com/tallygate/tallygate/schemas/event"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

func TestProjection(t *testing.T) {
	projectiontest.Suite{
		New:      func() projection.Projection { return rollup.Rollup{} },
		Identity: func(r projection.Row) string { return fmt.Sprint(r) },
		Version:  func(projection.Row) uint64 { return 0 },
		Totals: func(rows []projection.Row) map[string]int64 {
			totals := map[string]int64{}
			for _, r := range rows {
				totals[fmt.Sprint(r)]++
			}
			return totals
		},
	}.Run(t)
}

// In batches cut anywhere, and written again, the rollup's sums are those of the audit table.
func TestRollupEqualsTheAuditTable(t *testing.T) {
	db := clickhousetest.Migrated(t)
	w := projectiontest.Random(t, 1, 1500)
	for first := 0; first < len(w.Records); first += 200 {
		batch := w.Records[first:min(first+200, len(w.Records))]
		write(t, db, batch)
		if first%400 == 0 {
			write(t, db, batch) // As after a crash before the commit.
		}
	}
	const sums = "sum(calls), sum(input_tokens), sum(output_tokens), toInt64(sum(toInt128(cost_nanos)))"
	compare(t, db,
		"SELECT org, toDateTime(toStartOfMinute(received_at), 'UTC') AS minute, key, outcome, status, "+sums+" FROM requests FINAL GROUP BY ALL ORDER BY ALL",
		"SELECT org, minute, key, outcome, status, "+sums+" FROM rollup_minute FINAL GROUP BY ALL HAVING sum(calls) > 0 ORDER BY ALL")
}

// When an abandoned request completes after all, its old dimensions become zeros.
func TestDimensionsThatNoLongerOccur(t *testing.T) {
	db := clickhousetest.Migrated(t)
	l := projectiontest.NewLog(t, 0)
	facts := &event.Facts{RequestId: l.ID(), ReceivedAt: l.Now().UnixNano(), Key: "k", Model: "m"}
	l.Append(1, "org", &event.Envelope{Body: &event.Envelope_Abandoned{Abandoned: &event.Abandoned{Facts: facts}}})
	write(t, db, l.Records)
	l.Append(2, "org", &event.Envelope{Body: &event.Envelope_Completed{Completed: &event.Completed{
		Facts: facts, Outcome: event.Outcome_OUTCOME_OK, Status: 200, CostNanos: 7, Provider: "p", DurationNs: 150_000, FirstTokenNs: 1,
	}}})
	write(t, db, l.Records[1:])

	rows := query(t, db, "SELECT outcome, provider, toInt64(calls), cost_nanos, length(latency_buckets), "+
		"toInt64(arrayFirstIndex(x -> x > 0, latency_buckets)), toInt64(arrayFirstIndex(x -> x > 0, first_token_buckets)) FROM rollup_minute FINAL ORDER BY outcome")
	want := []string{"[abandoned  0 0 96 0 0]", "[ok p 1 7 96 4 1]"} // 150 µs is above 100 µs × 2^(2/4) and below 2^(3/4).
	if fmt.Sprint(rows) != fmt.Sprint(want) {
		t.Fatalf("unexpected rows; got %v; want %v", rows, want)
	}
}

// write puts a batch into the audit table and brings the rollup up to date.
func write(t *testing.T, db *clickhouse.Client, batch []*projection.Record) {
	t.Helper()
	audited, touched := &projection.Rows{}, &projection.Rows{}
	for _, rec := range batch {
		if err := audited.Apply(audit.Audit{}, rec); err != nil {
			t.Fatal(err)
		}
		if err := touched.Apply(rollup.Rollup{}, rec); err != nil {
			t.Fatal(err)
		}
	}
	token := fmt.Sprint(batch[0].Offset, "-", batch[len(batch)-1].Offset)
	if err := db.Insert(t.Context(), token, audited.All()); err != nil {
		t.Fatal(err)
	}
	if err := (rollup.Rollup{}).Write(t.Context(), db, touched.All(), batch[len(batch)-1].Offset+1); err != nil {
		t.Fatal(err)
	}
}

func compare(t *testing.T, db *clickhouse.Client, a, b string) {
	t.Helper()
	want, got := query(t, db, a), query(t, db, b)
	if len(want) < 10 {
		t.Fatalf("unexpected number of rows; got %d; want at least 10", len(want))
	}
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) || want[i] != got[i] {
			t.Fatalf("unexpected row %d of the rollup; got %v of %d rows; want %v of %d", i, at(got, i), len(got), at(want, i), len(want))
		}
	}
}

func at(rows []string, i int) string {
	if i < len(rows) {
		return rows[i]
	}
	return "none"
}

// query returns each row as text.
func query(t *testing.T, db *clickhouse.Client, text string) (out []string) {
	t.Helper()
	rows, err := db.Query(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		values := make([]any, len(rows.ColumnTypes()))
		for i, c := range rows.ColumnTypes() {
			values[i] = reflect.New(c.ScanType()).Interface()
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			values[i] = reflect.ValueOf(v).Elem().Interface()
		}
		out = append(out, fmt.Sprint(values))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// Whatever an org is called, and however many there are in one batch, its minutes are summed.
func TestOrgsOfAnyNameAndNumber(t *testing.T) {
	db := clickhousetest.Migrated(t)
	l := projectiontest.NewLog(t, 0)
	orgs := []string{`o'; DROP TABLE requests; --\`, "?", "$1 @x", "\x00\xff", ""}
	for i := range 500 {
		orgs = append(orgs, fmt.Sprintf("%0127d", i))
	}
	for _, org := range orgs {
		l.Append(1, org, &event.Envelope{Body: &event.Envelope_Completed{Completed: &event.Completed{
			Facts: &event.Facts{RequestId: l.ID(), ReceivedAt: l.Now().UnixNano()},
		}}})
	}
	write(t, db, l.Records)
	if got := query(t, db, "SELECT toInt64(count()), toInt64(uniqExact(org)), toInt64(sum(calls)) FROM rollup_minute FINAL"); got[0] != fmt.Sprint([]any{len(orgs), len(orgs), len(orgs)}) {
		t.Fatalf("unexpected rows, orgs and calls; got %s; want %d of each", got[0], len(orgs))
	}
}

// A clock far off gives a minute that the table cannot hold, and stops nothing.
func TestMomentsThatNoMinuteHolds(t *testing.T) {
	db := clickhousetest.Migrated(t)
	l := projectiontest.NewLog(t, 0)
	for _, at := range []int64{-1, 1, 4_294_967_220_000_000_000, 7_258_118_400_000_000_000, 1<<63 - 1} {
		l.Append(1, "org", &event.Envelope{Body: &event.Envelope_Completed{Completed: &event.Completed{
			Facts: &event.Facts{RequestId: l.ID(), ReceivedAt: at},
		}}})
	}
	write(t, db, l.Records)
	rows := query(t, db, "SELECT toInt64(toUnixTimestamp(minute)), toInt64(sum(calls)) FROM rollup_minute FINAL GROUP BY minute ORDER BY minute")
	if want := fmt.Sprint([]string{"[0 2]", "[4294967220 1]"}); fmt.Sprint(rows) != want {
		t.Fatalf("unexpected minutes and calls; got %v; want %s", rows, want)
	}
}
