package keeper

import (
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"
)

// keeperMetrics are those of the ledgers that this process keeps.
type keeperMetrics struct {
	set                                     *metrics.Set
	records, unreadable, balances, appended *metrics.Counter
	// As of the last turn of the loop, summed over the partitions.
	partitions, behind, open, gaps, duplicates, void, repeated, overdrafts atomic.Int64
}

func newKeeperMetrics() *keeperMetrics {
	set := metrics.NewSet()
	m := &keeperMetrics{
		set:        set,
		records:    set.NewCounter("tallygate_ledger_records_total"),
		unreadable: set.NewCounter("tallygate_ledger_unreadable_total"),
		balances:   set.NewCounter("tallygate_ledger_balances_published_total"),
		appended:   set.NewCounter("tallygate_ledger_events_appended_total"),
	}
	for name, value := range map[string]*atomic.Int64{
		"partitions": &m.partitions, "partitions_behind": &m.behind, "open_requests": &m.open, "gaps": &m.gaps,
		"duplicates": &m.duplicates, "void_events": &m.void, "repeated_ends": &m.repeated, "overdrafts": &m.overdrafts,
	} {
		set.NewGauge("tallygate_ledger_"+name, func() float64 { return float64(value.Load()) })
	}
	metrics.RegisterSet(set)
	return m
}

func (m *keeperMetrics) unregister() { metrics.UnregisterSet(m.set, true) }

func (m *keeperMetrics) observe(accounts map[int32]*account, behind int) {
	var open, gaps, duplicates, void, repeated, overdrafts int64
	for _, a := range accounts {
		c := a.fold.Counts()
		open += int64(a.fold.Open())
		gaps += int64(a.fold.Gaps())
		duplicates += int64(c.Duplicates)
		void += int64(c.Void)
		repeated += int64(c.Repeated)
		overdrafts += int64(c.Overdrafts)
	}
	m.partitions.Store(int64(len(accounts)))
	m.behind.Store(int64(behind))
	m.open.Store(open)
	m.gaps.Store(gaps)
	m.duplicates.Store(duplicates)
	m.void.Store(void)
	m.repeated.Store(repeated)
	m.overdrafts.Store(overdrafts)
}
