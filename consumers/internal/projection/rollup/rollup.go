// Package rollup sums the outcomes of each org and minute. It recomputes the minutes
// that a batch touched from the deduplicated audit table, so that its rows are absolute.
package rollup

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/tallygate/tallygate/consumers/internal/projection"
	"github.com/tallygate/tallygate/consumers/internal/projection/audit"
	"github.com/tallygate/tallygate/schemas/topic"
)

// Name of the projection.
const Name = "rollup"

// minutesPerStatement and statementBytes bound the size of one statement: ClickHouse
// takes no more than 256 KiB.
const (
	minutesPerStatement = 500
	statementBytes      = 192 << 10
)

// latestMinute is the last one that ClickHouse's DateTime holds.
var latestMinute = time.Unix(math.MaxUint32, 0).UTC().Truncate(time.Minute)

// Rollup is the projection. It keeps no state.
type Rollup struct{}

// Name implements projection.Projection.
func (Rollup) Name() string { return Name }

// Topics implements projection.Projection.
func (Rollup) Topics() []string { return []string{topic.Requests} }

// Follows implements projection.Follower: the audit table must have the outcomes first.
func (Rollup) Follows() string { return audit.Name }

// Apply notes the minute of an outcome. An outcome of a clock so wrong that the table
// cannot hold its minute is in the audit table only.
func (Rollup) Apply(rows *projection.Rows, rec *projection.Record) error {
	at, ok := audit.ReceivedAt(rec)
	minute := projection.Moment(at).Truncate(time.Minute)
	if ok && !minute.After(latestMinute) {
		rows.Add(Touched{Org: rec.Event.Org, Minute: minute})
	}
	return nil
}

// Touched is an (org, minute) pair that must be computed anew. It is not inserted anywhere.
type Touched struct {
	Org    string
	Minute time.Time
}

// Table implements projection.Row.
func (Touched) Table() string { return "rollup_minute" }

// Month implements projection.Row.
func (t Touched) Month() int { return projection.MonthOf(t.Minute) }

// bytes is the most that the pair adds to a statement: the org stands there four
// times, its bytes may be escaped, and the minute twice.
func (t Touched) bytes() int { return 4*(2*len(t.Org)+len(", ('', )")) + 2*len("4294967295") }

// Write implements projection.Writer: it computes the touched minutes. The same
// batch, written again, gives rows that replace the first ones.
func (Rollup) Write(ctx context.Context, db projection.Executor, rows []projection.Row, end int64) error {
	for _, chunk := range statements(rows) {
		query, args := chunk.statement(end)
		if err := db.Exec(ctx, query, args...); err != nil {
			return fmt.Errorf("cannot recompute %d minutes: %w", len(chunk), err)
		}
	}
	return nil
}

// minutes are touched pairs of one month, without repetition, in order of time.
type minutes []Touched

// statements cuts the touched pairs into what one statement computes: few enough,
// and of one month, so that it reads and writes one partition.
func statements(rows []projection.Row) []minutes {
	seen := map[Touched]struct{}{}
	for _, r := range rows {
		seen[r.(Touched)] = struct{}{}
	}
	all := make(minutes, 0, len(seen))
	for t := range seen {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b Touched) int {
		return cmp.Or(a.Minute.Compare(b.Minute), cmp.Compare(a.Org, b.Org))
	})
	var out []minutes
	for len(all) > 0 {
		n, bytes := 1, all[0].bytes()
		for n < len(all) && n < minutesPerStatement && all[n].Month() == all[0].Month() {
			if bytes += all[n].bytes(); bytes > statementBytes {
				break
			}
			n++
		}
		out = append(out, all[:n])
		all = all[n:]
	}
	return out
}
