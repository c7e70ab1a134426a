package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// row has a value of each type that Tallygate's tables use, and some more.
type row struct {
	ID       uint64
	Name     string
	Low      string
	MaybeLow *string
	Maybe    *int64
	List     []string
	Nested   [][]uint32
	Labels   map[string]string
	Unique   uuid.UUID
	At       time.Time
	AtNano   time.Time
	Day      time.Time
	Wide     *big.Int
	WideU    *big.Int
	Kind     string
	Money    decimal.Decimal
	Ratio    float64
	Flag     bool
	Fixed    string
	Small    int8
	Pair     []any
	Raw      []byte
}

const rowTable = `CREATE TABLE types (
	ID UInt64, Name String, Low LowCardinality(String), MaybeLow LowCardinality(Nullable(String)), Maybe Nullable(Int64),
	List Array(String), Nested Array(Array(UInt32)), Labels Map(LowCardinality(String), String), Unique UUID,
	At DateTime('UTC'), AtNano DateTime64(9, 'UTC'), Day Date, Wide Int128, WideU UInt256,
	Kind Enum8('admitted' = 1, 'completed' = 2), Money Decimal(38, 9), Ratio Float64, Flag Bool, Fixed FixedString(4),
	Small Int8, Pair Tuple(String, Int64), Raw String
) ENGINE = MergeTree ORDER BY ID`

func exampleRow(i int) row {
	text, n := fmt.Sprintf("m%d", i%3), int64(-i)
	r := row{
		ID: uint64(i), Name: fmt.Sprintf("Zeile %d ✓ '\\\n\t", i), Low: text, List: []string{"a", "", "ü"}[:i%4],
		Nested: [][]uint32{{1, 2}, {}, {uint32(i)}}, Labels: map[string]string{"k": text}, Unique: uuid.New(),
		At: time.Unix(1_700_000_000+int64(i), 0).UTC(), AtNano: time.Unix(1_700_000_000, int64(i)*1001).UTC(),
		Day: time.Date(2026, 3, 1+i%20, 0, 0, 0, 0, time.UTC), Wide: new(big.Int).Lsh(big.NewInt(int64(-i-1)), 90), WideU: new(big.Int).Lsh(big.NewInt(int64(i+1)), 200),
		Kind: "completed", Money: decimal.New(int64(i)*1_234_567_891, -9), Ratio: float64(i) / 3, Flag: i%2 == 0, Fixed: "abcd",
		Small: int8(i % 100), Pair: []any{text, n}, Raw: []byte{0, 1, 2, '\'', '\\', ';', '\n', 0xff, byte(i), 0},
	}
	if i%2 == 1 {
		r.MaybeLow, r.Maybe = &text, &n
	}
	return r
}

func TestTypesThroughTheDriver(t *testing.T) {
	addr := start(t, t.TempDir()).Addr
	for _, c := range []*clickhouse.Compression{
		nil, {Method: clickhouse.CompressionLZ4}, {Method: clickhouse.CompressionZSTD},
		{Method: clickhouse.CompressionGZIP, Level: 1}, {Method: clickhouse.CompressionDeflate, Level: 1}, {Method: clickhouse.CompressionBrotli, Level: 1},
	} {
		name := "none"
		if c != nil {
			name = c.Method.String()
		}
		t.Run(name, func(t *testing.T) {
			conn := database(t, addr, func(o *clickhouse.Options) { o.Compression = c })
			exec(t, conn, rowTable)
			var want []row
			ctx := context.Background()
			batch, err := conn.PrepareBatch(ctx, "INSERT INTO types")
			if err != nil {
				t.Fatalf("cannot prepare a batch: %v", err)
			}
			for i := range 500 {
				r := exampleRow(i)
				want = append(want, r)
				if err := batch.AppendStruct(&r); err != nil {
					t.Fatalf("cannot append row %d: %v", i, err)
				}
			}
			if err := batch.Send(); err != nil {
				t.Fatalf("cannot send the batch: %v", err)
			}
			rows, err := conn.Query(ctx, "SELECT * FROM types ORDER BY ID")
			if err != nil {
				t.Fatalf("cannot select: %v", err)
			}
			defer rows.Close()
			for i := 0; rows.Next(); i++ {
				var got row
				if err := rows.ScanStruct(&got); err != nil {
					t.Fatalf("cannot scan row %d: %v", i, err)
				}
				if !equalRows(t, got, want[i]) {
					t.Fatalf("unexpected row %d\ngot  %+v\nwant %+v", i, got, want[i])
				}
				want[i].ID = 1 << 60
			}
			if err := rows.Err(); err != nil {
				t.Fatalf("unexpected error of the rows: %v", err)
			}
			if want[len(want)-1].ID != 1<<60 {
				t.Fatal("not all rows came back")
			}
		})
	}
}

func equalRows(t *testing.T, got, want row) bool {
	t.Helper()
	text := func(r row) string {
		if len(r.List) == 0 {
			r.List = nil
		}
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	return text(got) == text(want)
}

func TestQueriesWithArguments(t *testing.T) {
	conn := database(t, start(t, t.TempDir()).Addr, nil)
	ctx := context.Background()
	exec(t, conn, "CREATE TABLE r (org String, v UInt64, version UInt64) ENGINE = ReplacingMergeTree(version) ORDER BY org")
	exec(t, conn, "INSERT INTO r VALUES (?, ?, ?)", "it's; -- a \\ trap", uint64(7), uint64(1))
	exec(t, conn, "INSERT INTO r (org, v, version) VALUES ('it''s; -- a \\\\ trap', 1 + 8, 2), ('b', 1, 1);")
	if got := count(t, conn, "SELECT v FROM r FINAL WHERE org = {org:String}", clickhouse.Named("org", "it's; -- a \\ trap")); got != 9 {
		t.Fatalf("unexpected value; got %d; want 9", got)
	}
	if got := count(t, conn, "SELECT sum(v) FROM r FINAL WHERE org IN (?)", []string{"b", "it's; -- a \\ trap"}); got != 10 {
		t.Fatalf("unexpected sum; got %d; want 10", got)
	}
	exec(t, conn, "INSERT INTO r SELECT concat('s', toString(number)), number, 1 FROM numbers(10) SETTINGS max_threads = 1")
	if got := count(t, conn, "SELECT count() FROM r FINAL WHERE startsWith(org, 's')"); got != 10 {
		t.Fatalf("unexpected count; got %d; want 10", got)
	}
	rows, err := conn.Query(ctx, "SELECT org FROM r WHERE 0")
	if err != nil || rows.Next() || rows.Err() != nil {
		t.Fatalf("unexpected answer without rows: %v, %v", err, rows)
	}
	if err := conn.Exec(clickhouse.Context(ctx, clickhouse.WithAsync(true)), "INSERT INTO r VALUES ('async', 1, 1)"); err != nil {
		t.Fatalf("unexpected error of an async insert: %v", err)
	}
	if got := count(t, conn, "SELECT count() FROM r WHERE org = 'async'"); got != 1 {
		t.Fatalf("unexpected count after an async insert; got %d; want 1", got)
	}
	exec(t, conn, "ALTER TABLE r ADD COLUMN extra String DEFAULT 'x'")
	exec(t, conn, "OPTIMIZE TABLE r FINAL")
	exec(t, conn, "DROP TABLE r")
}

func TestExternalTable(t *testing.T) {
	conn := open(t, start(t, t.TempDir()).Addr, nil)
	table, err := ext.NewTable("wanted", ext.Column("id", "UInt64"), ext.Column("name", "String"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := table.Append(uint64(i), "n"); err != nil {
			t.Fatal(err)
		}
	}
	ctx := clickhouse.Context(context.Background(), clickhouse.WithExternalTable(table))
	var n uint64
	if err := conn.QueryRow(ctx, "SELECT sum(id) FROM wanted").Scan(&n); err != nil || n != 10 {
		t.Fatalf("unexpected sum; got %d, %v; want 10", n, err)
	}
}

func TestLargeResult(t *testing.T) {
	for _, method := range []clickhouse.CompressionMethod{clickhouse.CompressionNone, clickhouse.CompressionLZ4} {
		conn := open(t, start(t, t.TempDir()).Addr, func(o *clickhouse.Options) { o.Compression = &clickhouse.Compression{Method: method} })
		rows, err := conn.Query(context.Background(), "SELECT number, toString(number), toLowCardinality(toString(number % 7)) FROM numbers(300000)")
		if err != nil {
			t.Fatal(err)
		}
		var sum, n uint64
		var text, low string
		for rows.Next() {
			if err := rows.Scan(&n, &text, &low); err != nil {
				t.Fatal(err)
			}
			sum += n
		}
		if err := rows.Err(); err != nil || sum != 300_000*299_999/2 {
			t.Fatalf("unexpected sum; got %d, %v", sum, err)
		}
	}
}

// The server's contract for exactly-once inserts: a token names a block, and a
// block that is there already is dropped.
func TestDeduplicationToken(t *testing.T) {
	conn := database(t, start(t, t.TempDir()).Addr, nil)
	f := func(table, window string, want uint64) {
		t.Helper()
		exec(t, conn, "CREATE TABLE "+table+" (id UInt64, text String) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = "+window)
		for _, token := range []string{"requests:0:0-49999", "requests:0:0-49999", "requests:0:50000-99999"} {
			ctx := clickhouse.Context(context.Background(), clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": token, "async_insert": 0}))
			batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+table)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 50_000 {
				if err := batch.Append(uint64(i), "some text"); err != nil {
					t.Fatal(err)
				}
			}
			if err := batch.Send(); err != nil {
				t.Fatal(err)
			}
		}
		if got := count(t, conn, "SELECT count() FROM "+table); got != want {
			t.Fatalf("unexpected rows with a window of %s; got %d; want %d", window, got, want)
		}
		if got := count(t, conn, "SELECT count() FROM system.parts WHERE active AND rows != 50000 AND database = currentDatabase() AND table = ?", table); got != 0 {
			t.Fatalf("%d parts are not one block each", got)
		}
	}
	f("with_window", "100", 100_000)
	f("without_window", "0", 150_000)
}

func TestCancelledQueryStops(t *testing.T) {
	conn := open(t, start(t, t.TempDir()).Addr, nil)
	const slow = "SELECT sum(sleepEachRow(0.05)) FROM numbers(400) SETTINGS max_block_size = 10, function_sleep_max_microseconds_per_block = 0"
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if err := conn.Exec(ctx, slow); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("unexpected error; got %v; want a deadline", err)
	}
	deadline := time.Now().Add(5 * time.Second)
	for count(t, conn, "SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow%' AND query NOT LIKE '%system.processes%'") > 0 {
		if time.Now().After(deadline) {
			t.Fatal("the query of a client that went away still runs")
		}
		time.Sleep(50 * time.Millisecond)
	}
	ctx = clickhouse.Context(context.Background(), clickhouse.WithSettings(clickhouse.Settings{"max_execution_time": 1}))
	var e *clickhouse.Exception
	if err := conn.Exec(ctx, slow); !errors.As(err, &e) || e.Code != 159 {
		t.Fatalf("unexpected error; got %v; want ClickHouse's 159", err)
	}
}

func TestErrorsOfTheDriver(t *testing.T) {
	conn := database(t, start(t, t.TempDir()).Addr, func(o *clickhouse.Options) {
		o.Compression = &clickhouse.Compression{Method: clickhouse.CompressionLZ4}
	})
	f := func(sql string, code int32, part string) {
		t.Helper()
		var e *clickhouse.Exception
		err := conn.Exec(context.Background(), sql)
		if !errors.As(err, &e) || e.Code != code {
			t.Fatalf("unexpected error of %q; got %v; want code %d", sql, err, code)
		}
		contains(t, e.Message, part)
	}
	exec(t, conn, "CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a")
	f("SELECT * FROM nowhere", 60, "nowhere")
	f("SELEC 1 FROM t", 62, "Syntax error")
	f("SELECT 1; SELECT 2", 62, "Multi-statements are not allowed")
	f("INSERT INTO t VALUES ('x')", 6, "")
	f("INSERT INTO missing VALUES (1)", 60, "missing")
	f("SELECT throwIf(number = 5) FROM numbers(10)", 395, "throwIf")
	f("SELECT * FROM file('/etc/hostname', 'LineAsString')", 497, "READ ON FILE")
	f("SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')", 497, "READ ON URL")
	f("SELECT * FROM remote('127.0.0.1:1', 'system.one')", 497, "READ ON REMOTE")
	f("SELECT 1 INTO OUTFILE '/tmp/stolen'", 48, "INTO OUTFILE")
	f("INSERT INTO t FROM INFILE '/etc/passwd' FORMAT CSV", 48, "FROM INFILE")
	f("INSERT INTO FUNCTION file('/tmp/stolen', 'CSV', 'a UInt8') SELECT 1", 497, "WRITE ON FILE")
	f("CREATE TABLE f (a UInt8) ENGINE = URL('http://127.0.0.1:1/', CSV)", 497, "URL")
	f("BACKUP TABLE t TO File('/tmp/stolen')", 497, "BACKUP")
	f("CREATE DICTIONARY d (id UInt64) PRIMARY KEY id SOURCE(EXECUTABLE(command 'id' format 'TSV')) LAYOUT(FLAT()) LIFETIME(1)", 497, "CREATE DICTIONARY")
}
