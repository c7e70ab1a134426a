package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/consumers/internal/clickhouse"
	"github.com/tallygate/tallygate/consumers/internal/health"
	"github.com/tallygate/tallygate/consumers/internal/keeper"
	"github.com/tallygate/tallygate/consumers/internal/projection"
	"github.com/tallygate/tallygate/consumers/internal/projection/audit"
	"github.com/tallygate/tallygate/consumers/internal/projection/ledger"
	"github.com/tallygate/tallygate/consumers/internal/projection/rollup"
	"github.com/tallygate/tallygate/consumers/internal/run"
	"github.com/tallygate/tallygate/consumers/internal/throttle"
	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/topic/admin"
)

const (
	attemptTimeout = 30 * time.Second
	attemptPause   = time.Second
	closeTimeout   = 2 * time.Second
)

// process is the running program.
type process struct {
	settings settings
	cfg      *config.Config
	store    *clickhouse.Client
	kafka    *kgo.Client
	health   *health.Server
	log      throttle.Log
	parts    sync.WaitGroup
}

// serve works until the context ends, or until something is wrong that waiting does not mend.
func serve(ctx context.Context, s settings, cfg *config.Config) error {
	store, err := clickhouse.Open(cfg.ClickHouse.URL)
	if err != nil {
		return err
	}
	defer store.Close()
	p := &process{settings: s, cfg: cfg, store: store}
	if s.migrateOnly {
		return p.migrate(ctx)
	}
	if p.health, err = health.Listen(cfg.Consumers.Listen); err != nil {
		return err
	}
	if p.kafka, err = kgo.NewClient(kgo.SeedBrokers(cfg.Kafka.Brokers...), kgo.ClientID("tallygate-consumers")); err != nil {
		p.health.Close(ctx)
		return fmt.Errorf("cannot make the Kafka client: %w", err)
	}
	defer p.kafka.Close()
	go p.health.Serve()
	slog.Info("listening", "addr", p.health.Addr())

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	fatal := func(err error) { cancel(err) }
	p.probe(ctx, "Kafka", p.kafka.Ping)
	p.probe(ctx, "ClickHouse", func(ctx context.Context) error { return store.Ping(ctx) })
	p.health.Watch("start", func() []string { return []string{"starting"} })
	p.parts.Go(func() { p.start(ctx, fatal) })

	<-ctx.Done()
	slog.Info("stopping")
	p.parts.Wait()
	closeCtx, done := context.WithTimeout(context.Background(), closeTimeout)
	defer done()
	p.health.Close(closeCtx)
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	slog.Info("stopped")
	return nil
}

// probe watches something outside, for readiness and the log.
func (p *process) probe(ctx context.Context, name string, ask func(context.Context) error) {
	probe := health.NewProbe(name, ask)
	p.health.Watch(name, probe.Reasons)
	p.parts.Go(func() { probe.Run(ctx) })
}

// start makes the topics and then the parts. The keeper does not wait for ClickHouse.
func (p *process) start(ctx context.Context, fatal func(error)) {
	err := p.until(ctx, "make the topics", func(ctx context.Context) error {
		return admin.EnsureTopics(ctx, p.kafka, p.cfg.Kafka)
	}, admin.ErrUnfit)
	if err != nil {
		fatal(err)
		return
	}
	if slices.Contains(p.settings.projections, ledger.Name) {
		k, err := keeper.New(keeper.Options{Kafka: p.cfg.Kafka, HoldGrace: p.cfg.Consumers.HoldGrace, Replica: p.cfg.Gateway.Replica})
		if err != nil {
			fatal(err)
			return
		}
		p.health.Watch("keeper", k.Status)
		p.parts.Go(func() { k.Run(ctx) })
	}
	if err := p.migrate(ctx); err != nil {
		fatal(err)
		return
	}
	for _, name := range p.settings.projections {
		e, err := p.engine(name)
		if err != nil {
			fatal(err)
			return
		}
		p.health.Watch(name, e.Status)
		p.parts.Go(func() { e.Run(ctx) })
	}
	p.health.Watch("start", func() []string { return nil })
	p.parts.Go(func() { p.announce(ctx) })
}

// engine returns the engine of a projection.
func (p *process) engine(name string) (*run.Engine, error) {
	var projected projection.Projection
	switch name {
	case ledger.Name:
		projected = ledger.NewLedger()
	case audit.Name:
		projected = audit.Audit{}
	case rollup.Name:
		projected = rollup.Rollup{}
	}
	return run.New(projected, p.store, p.cfg.Kafka, p.cfg.Consumers)
}

// migrate brings the tables up to date.
func (p *process) migrate(ctx context.Context) error {
	m, err := clickhouse.NewMigrator(p.store)
	if err != nil {
		return err
	}
	return p.until(ctx, "migrate ClickHouse's tables", m.Up, clickhouse.ErrSchema)
}

// until tries until it succeeds, the context ends (which is no error), or the error
// is one that waiting does not mend.
func (p *process) until(ctx context.Context, what string, do func(context.Context) error, hopeless error) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		err := do(attempt)
		cancel()
		if err == nil || errors.Is(err, hopeless) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		p.log.Warn(what, "cannot "+what+"; trying on", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(attemptPause):
		}
	}
}

// announce logs once that everything is at work.
func (p *process) announce(ctx context.Context) {
	for len(p.health.Reasons()) > 0 {
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
	slog.Info("ready", "projections", p.settings.projections)
}
