package projectiontest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/tallygate/tallygate/consumers/internal/projection"
)

// Suite is what the tests must know of a projection.
type Suite struct {
	New func() projection.Projection
	// Identity is what makes two rows one in ClickHouse: the table and its ORDER BY.
	Identity func(projection.Row) string
	// Version says which of two rows stays; zero for all if the last one does.
	Version func(projection.Row) uint64
	// Totals are the sums that must not depend on repetition, of the rows that stay.
	Totals func(rows []projection.Row) map[string]int64
}

// Run runs the suite on random logs.
func (s Suite) Run(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			w := Random(t, seed, 400)
			once := s.Apply(t, w.Records, nil)
			t.Run("same again", func(t *testing.T) { s.equal(t, once, s.Apply(t, w.Records, nil)) })
			t.Run("cut elsewhere", func(t *testing.T) {
				s.equal(t, once, s.Apply(t, w.Records, rand.New(rand.NewPCG(seed, 2))))
			})
			t.Run("applied twice", func(t *testing.T) {
				twice := append(append([]projection.Row{}, once...), s.Apply(t, w.Records, nil)...)
				s.sameTotals(t, once, twice)
			})
			t.Run("without duplicates", func(t *testing.T) {
				s.sameTotals(t, once, s.Apply(t, distinct(w.Records), nil))
			})
		})
	}
}

// Apply returns the rows of a log. With a source of randomness the projection is
// stopped at random places, and another one goes on, as after a crash.
func (s Suite) Apply(t *testing.T, records []*projection.Record, cuts *rand.Rand) []projection.Row {
	t.Helper()
	var out []projection.Row
	p := s.begin(records, nil)
	rows := &projection.Rows{}
	for i, rec := range records {
		if cuts != nil && cuts.IntN(20) == 0 {
			p = s.begin(records, records[:i])
		}
		rows.Reset()
		if err := rows.Apply(p, rec); err != nil {
			t.Fatalf("unexpected error at offset %d: %v", rec.Offset, err)
		}
		out = append(out, rows.All()...)
	}
	return out
}

// begin returns a projection that has been through some records, if it needs that.
func (s Suite) begin(records, before []*projection.Record) projection.Projection {
	p := s.New()
	f, ok := p.(projection.Folder)
	if !ok || len(records) == 0 {
		return p
	}
	f.Refold(records[0].Topic, records[0].Partition)
	rows := &projection.Rows{}
	for _, rec := range before {
		_ = rows.Apply(p, rec)
	}
	return p
}

// Final returns the rows that stay in ClickHouse.
func (s Suite) Final(rows []projection.Row) []projection.Row {
	place := map[string]int{}
	var out []projection.Row
	for _, r := range rows {
		id := s.Identity(r)
		i, ok := place[id]
		switch {
		case !ok:
			place[id] = len(out)
			out = append(out, r)
		case s.Version(r) >= s.Version(out[i]):
			out[i] = r
		}
	}
	return out
}

func (s Suite) equal(t *testing.T, want, got []projection.Row) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("unexpected number of rows; got %d; want %d", len(got), len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("unexpected row %d; got %+v; want %+v", i, got[i], want[i])
		}
	}
}

func (s Suite) sameTotals(t *testing.T, a, b []projection.Row) {
	t.Helper()
	if want, got := s.Totals(s.Final(a)), s.Totals(s.Final(b)); !maps.Equal(got, want) {
		t.Fatalf("unexpected totals; got %v; want %v", got, want)
	}
}

// distinct leaves out the records that repeat an earlier one. Offsets stay.
func distinct(records []*projection.Record) []*projection.Record {
	type identity struct{ spool, pseq uint64 }
	seen := map[identity]bool{}
	var out []*projection.Record
	for _, rec := range records {
		id := identity{rec.Event.Spool, rec.Seal.Pseq}
		if !seen[id] {
			out = append(out, rec)
		}
		seen[id] = true
	}
	return out
}
