package check

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/topic"
)

// ClickHouse reads the tables over ClickHouse's HTTP interface.
type ClickHouse struct {
	endpoint string
	user     *url.Userinfo
	client   *http.Client
}

// NewClickHouse takes http://user:password@host:port/database.
func NewClickHouse(text string) (*ClickHouse, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("the address of ClickHouse must be http://user:password@host:port/database")
	}
	database := strings.Trim(u.Path, "/")
	if database == "" {
		database = "default"
	}
	endpoint := url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/", RawQuery: url.Values{"database": {database}}.Encode()}
	return &ClickHouse{endpoint: endpoint.String(), user: u.User, client: &http.Client{}}, nil
}

// query runs a query and calls f with the columns of each row, as text. f's first
// error ends it.
func (c *ClickHouse) query(ctx context.Context, columns int, query string, f func(row []string) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, strings.NewReader(query+"\nFORMAT TabSeparated"))
	if err != nil {
		return fmt.Errorf("cannot ask ClickHouse: %w", err)
	}
	if c.user != nil {
		password, _ := c.user.Password()
		req.SetBasicAuth(c.user.Username(), password)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return fmt.Errorf("cannot ask ClickHouse: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 2000))
		return fmt.Errorf("ClickHouse refuses a query with status %d: %s", resp.StatusCode, strings.TrimSpace(string(text)))
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		row := strings.Split(lines.Text(), "\t")
		if len(row) != columns {
			return fmt.Errorf("ClickHouse gives %d columns where %d are asked for: %.200q", len(row), columns, lines.Text())
		}
		if err := f(row); err != nil {
			return fmt.Errorf("ClickHouse gives a row that cannot be read, %.200q: %w", lines.Text(), err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("cannot read ClickHouse's answer: %w", err)
	}
	return nil
}

// numbers reads columns; its first error is kept.
type numbers struct{ err error }

func (n *numbers) int(text string) int64 {
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil && n.err == nil {
		n.err = err
	}
	return v
}

func (n *numbers) id(text string) event.ID {
	v, err := parseID(text)
	if err != nil && n.err == nil {
		n.err = err
	}
	return v
}

// Archive implements Tables.
func (c *ClickHouse) Archive(ctx context.Context, f func(ArchiveRow)) error {
	// The last 35 bytes of a record are its hash with the tag before it; it covers all before them.
	const query = `SELECT partition, offset, lower(hex(reverse(substring(bytes, -8)))),
	SHA256(substring(bytes, 1, length(bytes) - 35)) = toFixedString(substring(bytes, -32), 32)
FROM events FINAL WHERE topic = '` + topic.Requests + `' AND length(bytes) > 80`
	return c.query(ctx, 4, query, func(row []string) error {
		var n numbers
		r := ArchiveRow{Partition: int32(n.int(row[0])), Offset: n.int(row[1]), Whole: row[3] == "1"}
		mark, err := strconv.ParseUint(row[2], 16, 64)
		if err != nil {
			return err
		}
		r.Mark = mark
		if n.err == nil {
			f(r)
		}
		return n.err
	})
}

// Requests implements Tables.
func (c *ClickHouse) Requests(ctx context.Context, f func(RequestRow)) error {
	const query = `SELECT request_id, org, key, outcome, status, calls, input_tokens, output_tokens, cost_nanos FROM requests FINAL`
	return c.query(ctx, 9, query, func(row []string) error {
		var n numbers
		r := RequestRow{ID: n.id(row[0]), Owner: Owner{unescape(row[1]), unescape(row[2])}, Outcome: row[3], Status: uint32(n.int(row[4]))}
		r.Sums = Sums{n.int(row[5]), n.int(row[6]), n.int(row[7]), n.int(row[8])}
		if n.err == nil {
			f(r)
		}
		return n.err
	})
}

// Sums of an account: what was debited less what was credited.
const (
	heldSum    = `sumIf(toInt128(amount_nanos), debit = 'held') - sumIf(toInt128(amount_nanos), credit = 'held')`
	chargedSum = `sumIf(toInt128(amount_nanos), debit = 'charged') - sumIf(toInt128(amount_nanos), credit = 'charged')`
	spendSum   = `sumIf(toInt128(amount_nanos), debit = 'spend') - sumIf(toInt128(amount_nanos), credit = 'spend')`
)

// Ledger implements Tables.
func (c *ClickHouse) Ledger(ctx context.Context, f func(LedgerRow)) error {
	const query = `SELECT request_id, ` + heldSum + `, ` + chargedSum + `, ` + spendSum + ` FROM ledger_entries FINAL GROUP BY request_id`
	return c.query(ctx, 4, query, func(row []string) error {
		var n numbers
		r := LedgerRow{n.id(row[0]), n.int(row[1]), n.int(row[2]), n.int(row[3])}
		if n.err == nil {
			f(r)
		}
		return n.err
	})
}

// Budgets implements Tables.
func (c *ClickHouse) Budgets(ctx context.Context, f func(BudgetRow)) error {
	const query = `SELECT budget, toUnixTimestamp64Nano(window_start) AS start, ` + heldSum + `, ` + chargedSum + `
FROM ledger_entries FINAL WHERE budget != '' GROUP BY budget, start`
	return c.query(ctx, 4, query, func(row []string) error {
		var n numbers
		r := BudgetRow{unescape(row[0]), n.int(row[1]), n.int(row[2]), n.int(row[3])}
		if n.err == nil {
			f(r)
		}
		return n.err
	})
}

// Rollup implements Tables.
func (c *ClickHouse) Rollup(ctx context.Context, f func(RollupRow)) error {
	const query = `SELECT org, key, toUnixTimestamp(minute) AS at, sum(calls), sum(input_tokens), sum(output_tokens), sum(toInt128(cost_nanos))
FROM rollup_minute FINAL GROUP BY org, key, at`
	return c.query(ctx, 7, query, func(row []string) error {
		var n numbers
		r := RollupRow{Owner: Owner{unescape(row[0]), unescape(row[1])}, Minute: n.int(row[2])}
		r.Sums = Sums{n.int(row[3]), n.int(row[4]), n.int(row[5]), n.int(row[6])}
		if n.err == nil {
			f(r)
		}
		return n.err
	})
}

// unescape undoes the escapes of ClickHouse's TabSeparated format.
var unescape = strings.NewReplacer(`\\`, `\`, `\t`, "\t", `\n`, "\n", `\r`, "\r", `\0`, "\x00", `\'`, `'`, `\b`, "\b", `\f`, "\f").Replace
