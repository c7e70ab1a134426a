package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	vm "github.com/VictoriaMetrics/metrics"

	"github.com/tallygate/tallygate/gateway/internal/counter"
	"github.com/tallygate/tallygate/gateway/internal/follow"
	"github.com/tallygate/tallygate/gateway/internal/pipeline"
	"github.com/tallygate/tallygate/gateway/internal/provider"
	"github.com/tallygate/tallygate/gateway/internal/server"
	"github.com/tallygate/tallygate/gateway/internal/upstream"
	"github.com/tallygate/tallygate/gateway/internal/view"
	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/policy"
)

// gateway is a running process.
type gateway struct {
	conf     *config.Config
	log      *slog.Logger
	pipeline *pipeline.Pipeline
	control  *follow.Control
	balances *follow.Balances
}

// Run runs the gateway until ctx is done, and then takes it down: no new calls,
// running ones to their end, the spool to Kafka. configName is the configuration's
// file, as it is named in control events.
func Run(ctx context.Context, conf *config.Config, configName, version string, log *slog.Logger) error {
	prepared, err := Prepare(conf)
	if err != nil {
		return err
	}
	provider.Version = version

	// The listeners come first: a taken port is found before anything is touched.
	data, err := server.Listen(conf.Gateway.Listen, "TALLYGATE_ADDR")
	if err != nil {
		return err
	}
	defer data.Close()
	admin, err := server.Listen(conf.Gateway.AdminListen, "TALLYGATE_ADMIN_ADDR")
	if err != nil {
		return err
	}
	defer admin.Close()

	records, err := openRecords(conf, version, log)
	if err != nil {
		return err
	}
	g := &gateway{conf: conf, log: log}
	g.pipeline = pipeline.New(pipeline.Options{
		Config: conf, Digester: prepared.Digester, Spool: records.spool, Prices: prepared.Prices, Log: log,
	})
	counters := counter.NewTable(records.spool.ID())
	builder := &view.Builder{Counters: counters, Prices: prepared.Prices, Upstreams: &view.Upstreams{
		Options: upstreamOptions(&conf.Gateway.Upstream), BaseURL: baseURLs(&conf.Policy),
	}}
	g.control = follow.NewControl(conf.Kafka, prepared.Declared, "config:"+filepath.Base(configName), func(s *policy.Snapshot) {
		v := builder.Build(s)
		g.pipeline.SetView(v)
		for _, why := range v.Missing {
			log.Warn("a target cannot be used", "reason", why)
		}
		log.Info("policy in use", "version", v.Version, "keys", v.Keys())
	}, log)
	g.balances = follow.NewBalances(conf.Kafka, counters.Apply, log)

	g.measure()
	return g.serve(ctx, data, admin, records)
}

// measure registers what is known of the gateway's own state.
func (g *gateway) measure() {
	vm.GetOrCreateGauge("tallygate_policy_version", func() float64 {
		if v := g.pipeline.View(); v != nil {
			return float64(v.Version)
		}
		return 0
	})
	vm.GetOrCreateGauge("tallygate_policy_age_seconds", func() float64 { return g.control.Age().Seconds() })
	vm.GetOrCreateGauge("tallygate_balances_age_seconds", func() float64 { return g.balances.Age().Seconds() })
	vm.GetOrCreateGauge("tallygate_ready", func() float64 {
		if g.pipeline.Ready() {
			return 1
		}
		return 0
	})
}

// serve runs all parts until ctx is done or one of them fails.
func (g *gateway) serve(ctx context.Context, data, admin net.Listener, records *records) error {
	// Kafka is needed until the spool is drained, longer than calls are taken.
	kafkaCtx, stopKafka := context.WithCancel(context.WithoutCancel(ctx))
	defer stopKafka()
	failed := make(chan error, 8)
	var background sync.WaitGroup
	start := func(run func() error) {
		background.Go(func() {
			if err := run(); err != nil && !errors.Is(err, context.Canceled) {
				failed <- err
			}
		})
	}
	stopPipeline := make(chan struct{})
	pipelineEnded := make(chan struct{})
	start(func() error { defer close(pipelineEnded); g.pipeline.Run(stopPipeline); return nil })
	start(func() error { return records.run(kafkaCtx) })
	start(func() error { return g.control.Run(kafkaCtx) })
	start(func() error { return g.balances.Run(kafkaCtx) })
	start(func() error {
		for _, ready := range [...]<-chan struct{}{g.balances.Ready(), g.control.Ready()} {
			select {
			case <-ready:
			case <-kafkaCtx.Done():
				return nil
			}
		}
		g.pipeline.SetReady()
		g.log.Info("ready", "addr", data.Addr().String(), "admin", admin.Addr().String(), "replica", records.replica, "spool", fmt.Sprintf("%016x", records.spool.ID()))
		return nil
	})
	http1 := server.New(&g.conf.Gateway, g.pipeline, g.log)
	start(func() error { return http1.Serve(server.Bounded(data, g.conf.Gateway.WriteTimeout)) })
	adminServer := server.Admin(g.checks(records))
	start(func() error {
		if err := adminServer.Serve(admin); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})

	var err error
	select {
	case <-ctx.Done():
		g.log.Info("stopping: no new calls are taken", "drain_timeout", g.conf.Gateway.DrainTimeout)
	case err = <-failed:
	}
	timeout := max(g.conf.Gateway.DrainTimeout, time.Second)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	g.pipeline.SetDraining()
	// Calls get three quarters of the time: those that are cut must still be recorded,
	// and their records shipped.
	cut := time.AfterFunc(timeout-timeout/4, func() {
		g.log.Warn("calls are still running at three quarters of drain_timeout and are cut")
		g.pipeline.Cut()
	})
	if e := http1.Shutdown(drain); e != nil {
		g.log.Warn("calls are still running at the end of drain_timeout", "error", e)
	}
	cut.Stop()
	// The counts of the last second are written before the spool is closed.
	close(stopPipeline)
	<-pipelineEnded
	err = errors.Join(err, records.close(drain))
	stopKafka()
	_ = adminServer.Close()
	if err == nil {
		background.Wait()
		g.log.Info("stopped")
	}
	return err
}

func (g *gateway) checks(records *records) []server.Check {
	return []server.Check{
		{Name: "policy", Problem: func() string {
			if g.pipeline.View() == nil {
				return "the control log has not been read yet; check that Kafka is reachable at " + fmt.Sprint(g.conf.Kafka.Brokers)
			}
			return ""
		}},
		{Name: "balances", Problem: func() string {
			select {
			case <-g.balances.Ready():
				return ""
			default:
				return "the balances have not been read yet; check that Kafka is reachable at " + fmt.Sprint(g.conf.Kafka.Brokers)
			}
		}},
		{Name: "calls", Problem: func() string {
			if g.pipeline.Draining() {
				return "the gateway is shutting down"
			}
			return ""
		}},
		{Name: "spool", Problem: records.problem},
	}
}

func upstreamOptions(u *config.Upstream) upstream.Options {
	return upstream.Options{
		ConnectTimeout: u.ConnectTimeout, FirstByteTimeout: u.FirstByteTimeout, ChunkTimeout: u.ChunkTimeout, TotalTimeout: u.TotalTimeout,
		ConnectionLimit: u.ConnectionLimit, AllowPrivate: u.AllowPrivate, IdleTimeout: time.Minute,
	}
}

// baseURLs returns the environment's overrides of base URLs.
func baseURLs(p *config.Policy) func(string) string {
	over := map[string]string{}
	for i := range p.Providers {
		over[p.Providers[i].ID] = p.Providers[i].BaseURLOverride
	}
	return func(id string) string {
		if u, ok := over[id]; ok {
			return u
		}
		// A provider that another replica's configuration declared.
		return os.Getenv(config.BaseURLVariable(id))
	}
}
