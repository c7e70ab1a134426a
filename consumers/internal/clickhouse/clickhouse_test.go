package clickhouse_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallygate/tallygate/consumers/internal/clickhouse"
	"github.com/tallygate/tallygate/consumers/internal/clickhouse/clickhousetest"
	"github.com/tallygate/tallygate/consumers/internal/projection"
	"github.com/tallygate/tallygate/consumers/internal/projection/audit"
	"github.com/tallygate/tallygate/consumers/internal/projection/ledger"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

func TestMigrateUpDownUp(t *testing.T) {
	c := open(t, clickhousetest.URL(t))
	m, err := clickhouse.NewMigrator(c)
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"balances", "events", "ledger_entries", "requests", "rollup_minute"}
	f := func(migrate func() error, want []string) {
		t.Helper()
		if err := migrate(); err != nil {
			t.Fatal(err)
		}
		if got := tables(t, c); !slices.Equal(got, want) {
			t.Fatalf("unexpected tables; got %v; want %v", got, want)
		}
	}
	up := func() error { return m.Up(t.Context()) }
	f(up, all)
	f(up, all)
	f(func() error { return m.Down(t.Context(), 3) }, []string{"events", "ledger_entries", "requests"})
	f(up, all)
	f(func() error { return m.Down(t.Context(), 0) }, nil)
	f(up, all)
}

func TestTwoMigratorsAtOnce(t *testing.T) {
	url := clickhousetest.URL(t)
	errs := make([]error, 4)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			c := open(t, url)
			m, err := clickhouse.NewMigrator(c)
			if err == nil {
				err = m.Up(t.Context())
			}
			errs[i] = err
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if got := tables(t, open(t, url)); len(got) != 5 {
		t.Fatalf("unexpected tables; got %v; want 5", got)
	}
}

func TestMigrationThatWasChanged(t *testing.T) {
	c := clickhousetest.Migrated(t)
	exec(t, c, "INSERT INTO schema_migrations (version, name, checksum, applied) VALUES (2, 'requests', 'other', true)")
	m, err := clickhouse.NewMigrator(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Up(t.Context()); !errors.Is(err, clickhouse.ErrSchema) || !strings.Contains(err.Error(), "0002_requests") {
		t.Fatalf("unexpected error; got %v; want one of the schema that names 0002_requests", err)
	}
}

func TestServerAway(t *testing.T) {
	c := open(t, "http://user:secret@127.0.0.1:1/x")
	err := c.Ping(t.Context())
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") || strings.Contains(err.Error(), "secret") {
		t.Fatalf("unexpected error; got %v; want one that names the address and no secret", err)
	}
}

func TestPingBeforeTheDatabaseExists(t *testing.T) {
	if err := open(t, clickhousetest.URL(t)).Ping(t.Context()); err != nil {
		t.Fatalf("unexpected error: %v", err)
	}
}

func TestURLsRefused(t *testing.T) {
	f := func(url, want string) {
		t.Helper()
		if _, err := clickhouse.Open(url); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("unexpected error for %q; got %v; want one with %q", url, err, want)
		}
	}
	f("clickhouse://127.0.0.1:9000/x", "http or https")
	f("http://127.0.0.1:8123/a-b", "letters, digits and underscores")
}

// The structs must name every column, or a column would be filled with its default.
func TestRowsNameEveryColumn(t *testing.T) {
	c := clickhousetest.Migrated(t)
	for _, row := range []projection.Row{&audit.EventRow{}, &audit.RequestRow{}, &ledger.EntryRow{}} {
		want := columns(t, c, row.Table())
		if got := tags(row); !slices.Equal(got, want) {
			t.Errorf("unexpected columns of %s; got %v; want %v", row.Table(), got, want)
		}
	}
}

func TestInsertUnderTokenOnce(t *testing.T) {
	c := clickhousetest.Migrated(t)
	rows := entries(1000, time.Date(2026, 11, 30, 23, 59, 0, 0, time.UTC))
	for range 3 {
		if err := c.Insert(t.Context(), "topic:0:0-999", rows); err != nil {
			t.Fatal(err)
		}
	}
	// Not FINAL: the token itself must have kept the repetition out.
	if got := count(t, c, "ledger_entries"); got != 1000 {
		t.Fatalf("unexpected rows after three inserts under one token; got %d; want 1000", got)
	}
	// The control: under another token the rows come again.
	if err := c.Insert(t.Context(), "topic:0:0-1000", rows); err != nil {
		t.Fatal(err)
	}
	if got := count(t, c, "ledger_entries"); got != 2000 {
		t.Fatalf("unexpected rows after an insert under another token; got %d; want 2000", got)
	}
	if got := count(t, c, "ledger_entries FINAL"); got != 1000 {
		t.Fatalf("unexpected rows with FINAL; got %d; want 1000", got)
	}
}

// A row that does not fit is told apart from a table that is not there.
func TestRejectedRows(t *testing.T) {
	c := clickhousetest.Migrated(t)
	exec(t, c, "ALTER TABLE ledger_entries ADD CONSTRAINT positive CHECK amount_nanos >= 0")
	rows := entries(10, time.Now())
	rows[7].(*ledger.EntryRow).AmountNanos = -1
	if err := c.Insert(t.Context(), "a", rows); !errors.Is(err, clickhouse.ErrRejected) {
		t.Fatalf("unexpected error for a row that does not fit; got %v; want ErrRejected", err)
	}
	exec(t, c, "DROP TABLE ledger_entries")
	if err := c.Insert(t.Context(), "b", rows); err == nil || errors.Is(err, clickhouse.ErrRejected) {
		t.Fatalf("unexpected error for a missing table; got %v; want one that is worth another try", err)
	}
}

// Bytes that mean something to a parser are stored as they are.
func TestBytesAreExact(t *testing.T) {
	c := clickhousetest.Migrated(t)
	want := []byte("\x00\n\t'\\\"`;--\xff\xfe\r\n{}")
	for b := range 256 {
		want = append(want, byte(b))
	}
	row := &audit.EventRow{Topic: "t", Bytes: want, AppendedAt: time.Now(), OccurredAt: time.Now()}
	if err := c.Insert(t.Context(), "a", []projection.Row{row}); err != nil {
		t.Fatal(err)
	}
	var got string
	if err := c.QueryRow(t.Context(), "SELECT bytes FROM events").Scan(&got); err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Fatalf("unexpected bytes; got %q; want %q", got, want)
	}
}

func entries(n int, at time.Time) []projection.Row {
	rows := make([]projection.Row, n)
	for i := range rows {
		rows[i] = &ledger.EntryRow{
			Org: "o", Budget: "b", WindowStart: projection.Moment(0), WindowEnd: projection.Moment(1<<63 - 1), Entry: "charge",
			AmountNanos: int64(i), Offset: uint64(i), AppendedAt: at,
		}
	}
	return rows
}

func open(t *testing.T, url string) *clickhouse.Client {
	t.Helper()
	c, err := clickhouse.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func exec(t *testing.T, c *clickhouse.Client, query string) {
	t.Helper()
	if err := c.Exec(t.Context(), query); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, c *clickhouse.Client, from string) (n uint64) {
	t.Helper()
	if err := c.QueryRow(t.Context(), "SELECT count() FROM "+from).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func tables(t *testing.T, c *clickhouse.Client) []string {
	t.Helper()
	return list(t, c, fmt.Sprintf("SELECT name FROM system.tables WHERE database = '%s' AND name != 'schema_migrations' ORDER BY name", c.Database()))
}

func columns(t *testing.T, c *clickhouse.Client, table string) []string {
	t.Helper()
	return list(t, c, fmt.Sprintf("SELECT name FROM system.columns WHERE database = '%s' AND table = '%s' ORDER BY position", c.Database(), table))
}

func list(t *testing.T, c *clickhouse.Client, query string) (out []string) {
	t.Helper()
	rows, err := c.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}
