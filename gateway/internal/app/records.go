package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	vm "github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/gateway/internal/recover"
	"github.com/tallygate/tallygate/gateway/internal/ship"
	"github.com/tallygate/tallygate/gateway/internal/spool"
	"github.com/tallygate/tallygate/schemas/config"
)

// records is the way of events out of this process: spool, shipper, and the
// spools of processes that died.
type records struct {
	replica string
	spool   *spool.Spool
	orphans []*spool.Log
	cl      *kgo.Client
	shipper *ship.Shipper
	unlock  func() error
	log     *slog.Logger
}

func openRecords(conf *config.Config, version string, log *slog.Logger) (*records, error) {
	r := &records{replica: conf.Gateway.Replica, log: log}
	if r.replica == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("cannot find a name for this replica: %w; set gateway.replica", err)
		}
		r.replica = host
	}
	var err error
	if r.unlock, err = recover.Lock(conf.Gateway.Data); err != nil {
		return nil, err
	}
	dir := filepath.Join(conf.Gateway.Data, "spool")
	if r.orphans, err = recover.Orphans(dir); err != nil {
		return nil, err
	}
	r.spool, err = spool.Open(spool.Options{
		Dir: dir, Role: "gateway", Replica: r.replica, Version: version, QuotaBytes: conf.Spool.QuotaBytes, SegmentBytes: conf.Spool.SegmentBytes,
		Sync: conf.Spool.Sync, SyncInterval: conf.Spool.SyncInterval, Partitions: conf.Kafka.Partitions,
	})
	if err != nil {
		return nil, err
	}
	if r.cl, err = ship.NewClient(conf.Kafka, r.replica); err != nil {
		return nil, err
	}
	r.shipper = ship.New(r.cl, r.spool.Log, ship.Options{Log: log})
	gauge := func(name string, value func(ship.Stats) float64) {
		vm.GetOrCreateGauge(name, func() float64 { return value(r.shipper.Stats()) })
	}
	gauge("tallygate_spool_unshipped_records", func(s ship.Stats) float64 { return float64(s.UnshippedRecords) })
	gauge("tallygate_spool_unshipped_bytes", func(s ship.Stats) float64 { return float64(s.UnshippedBytes) })
	gauge("tallygate_spool_oldest_unshipped_seconds", func(s ship.Stats) float64 { return s.OldestUnshipped.Seconds() })
	gauge("tallygate_spool_shipped_records", func(s ship.Stats) float64 { return float64(s.Shipped) })
	gauge("tallygate_spool_refused_records", func(s ship.Stats) float64 { return float64(s.Refused) })
	vm.GetOrCreateGauge("tallygate_spool_bytes", func() float64 { return float64(r.spool.Bytes()) })
	vm.GetOrCreateGauge("tallygate_spool_reserved_bytes", func() float64 { return float64(r.spool.Reserved()) })
	return r, nil
}

// run ships until ctx is done. An error says that a spool cannot be read.
func (r *records) run(ctx context.Context) error {
	failed := make(chan error, 2)
	go func() { failed <- r.shipper.Run(ctx) }()
	go func() {
		// One at a time: the producer's buffer has room for the live spool and one more.
		for _, o := range r.orphans {
			if err := recover.Adopt(ctx, r.cl, o, r.spool, r.log); err != nil {
				if ctx.Err() == nil {
					failed <- err
				}
				return
			}
		}
	}()
	return <-failed
}

// close ends the spool, and waits until Kafka has all of it or ctx is done.
func (r *records) close(ctx context.Context) error {
	err := r.spool.Close(ctx)
	if e := r.shipper.Drain(ctx); e != nil {
		// Nothing is lost: the next process over this folder ships it.
		r.log.Warn("stopped before Kafka had everything", "error", e)
	} else if e := r.spool.Remove(); e != nil {
		err = errors.Join(err, e)
	}
	r.cl.Close()
	return errors.Join(err, r.unlock())
}

// problem says why no call can be recorded, or "".
func (r *records) problem() string {
	if err := r.spool.Err(); err != nil {
		return err.Error()
	}
	return ""
}
