// Package check proves that nothing was lost, repeated or changed on the way from
// a client to the tables. It reads the log from start to end and sums it up by
// itself, with no code of the consumers, and compares that with what they wrote to
// ClickHouse and with the answers that clients got.
package check

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// samplesMax is how many defects of a kind are named; all are counted.
const samplesMax = 5

// Findings are what is wrong, by kind.
type Findings struct {
	kinds map[string]*finding
}

type finding struct {
	count   int64
	samples []string
}

// add notes a defect. The detail names what it was found in.
func (f *Findings) add(kind, format string, args ...any) {
	if f.kinds == nil {
		f.kinds = map[string]*finding{}
	}
	k := f.kinds[kind]
	if k == nil {
		k = &finding{}
		f.kinds[kind] = k
	}
	if k.count++; len(k.samples) < samplesMax {
		k.samples = append(k.samples, fmt.Sprintf(format, args...))
	}
}

// Count returns how many defects of a kind there are; of all kinds if it is "".
func (f *Findings) Count(kind string) int64 {
	if kind != "" {
		if k := f.kinds[kind]; k != nil {
			return k.count
		}
		return 0
	}
	total := int64(0)
	for _, k := range f.kinds {
		total += k.count
	}
	return total
}

// Kinds returns the kinds of defects that there are, sorted.
func (f *Findings) Kinds() []string { return slices.Sorted(maps.Keys(f.kinds)) }

// Write lists the defects, the first few of each kind by name.
func (f *Findings) Write(w io.Writer) error {
	for _, kind := range f.Kinds() {
		k := f.kinds[kind]
		if _, err := fmt.Fprintf(w, "%s: %d\n", kind, k.count); err != nil {
			return err
		}
		for _, s := range k.samples {
			if _, err := fmt.Fprintf(w, "  %s\n", s); err != nil {
				return err
			}
		}
	}
	return nil
}

// Sums are totals of outcomes.
type Sums struct {
	Calls, Input, Output, CostNanos int64
}

func (s *Sums) add(o Sums) {
	s.Calls += o.Calls
	s.Input += o.Input
	s.Output += o.Output
	s.CostNanos += o.CostNanos
}

// Owner is who a sum is of.
type Owner struct{ Org, Key string }

// sourceLedger knows costs only.
const sourceLedger = "ledger"

// Table holds sums of the same things from several sources side by side.
type Table struct {
	Sources []string
	Rows    map[Owner]map[string]Sums
}

func (t *Table) add(source string, owner Owner, sums Sums) {
	if t.Rows == nil {
		t.Rows = map[Owner]map[string]Sums{}
	}
	if !slices.Contains(t.Sources, source) {
		t.Sources = append(t.Sources, source)
	}
	if t.Rows[owner] == nil {
		t.Rows[owner] = map[string]Sums{}
	}
	have := t.Rows[owner][source]
	have.add(sums)
	t.Rows[owner][source] = have
}

// Write prints a line for each owner and source.
func (t *Table) Write(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "org\tkey\tsource\tcalls\tinput tokens\toutput tokens\tcost USD")
	owners := slices.SortedFunc(maps.Keys(t.Rows), func(a, b Owner) int {
		return slices.Compare([]string{a.Org, a.Key}, []string{b.Org, b.Key})
	})
	for _, o := range owners {
		for _, source := range t.Sources {
			s, ok := t.Rows[o][source]
			if !ok {
				continue
			}
			if source == sourceLedger {
				fmt.Fprintf(tw, "%s\t%s\t%s\t-\t-\t-\t%s\n", o.Org, o.Key, source, dollars(s.CostNanos))
				continue
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\t%d\t%d\t%d\t%s\n", o.Org, o.Key, source, s.Calls, s.Input, s.Output, dollars(s.CostNanos))
		}
	}
	return tw.Flush()
}

func dollars(nanos int64) string {
	sign := ""
	if nanos < 0 {
		sign, nanos = "-", -nanos
	}
	return fmt.Sprintf("%s%d.%09d", sign, nanos/1e9, nanos%1e9)
}
