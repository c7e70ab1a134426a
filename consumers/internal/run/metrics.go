package run

import (
	"fmt"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"
)

// engineMetrics are those of one projection.
type engineMetrics struct {
	set                                   *metrics.Set
	records, rows, batches, dead, retries *metrics.Counter
	flushes                               *metrics.Histogram
	// As of the last turn of the loop.
	partitions, lag atomic.Int64
}

func newEngineMetrics(name string) *engineMetrics {
	set := metrics.NewSet()
	label := func(metric string) string { return fmt.Sprintf("tallygate_consumer_%s{projection=%q}", metric, name) }
	m := &engineMetrics{
		set:     set,
		records: set.NewCounter(label("records_total")),
		rows:    set.NewCounter(label("rows_total")),
		batches: set.NewCounter(label("batches_total")),
		dead:    set.NewCounter(label("dead_letters_total")),
		retries: set.NewCounter(label("retries_total")),
		flushes: set.NewHistogram(label("flush_seconds")),
	}
	set.NewGauge(label("partitions"), func() float64 { return float64(m.partitions.Load()) })
	set.NewGauge(label("lag_records"), func() float64 { return float64(m.lag.Load()) })
	metrics.RegisterSet(set)
	return m
}

func (m *engineMetrics) unregister() { metrics.UnregisterSet(m.set, true) }

// observe takes over what only the loop may read.
func (m *engineMetrics) observe(lanes map[place]*lane) {
	var lag int64
	for _, l := range lanes {
		lag += max(l.highWatermark-max(l.committed, 0), 0)
	}
	m.lag.Store(lag)
	m.partitions.Store(int64(len(lanes)))
}
