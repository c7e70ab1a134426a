package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/tallygate/tallygate/deploy/local/internal/chconfig"
	"github.com/tallygate/tallygate/deploy/local/internal/engine"
	"github.com/tallygate/tallygate/deploy/local/internal/process"
)

// Stack is what runs.
type Stack struct {
	settings Settings
	secrets  Secrets
	// out takes what is said to the user, log what goes on.
	out, log io.Writer
	// children are in the order of their start; they are stopped in the reverse order.
	children []*child
}

// Run starts everything, says how to use it, and stops everything when the context
// ends or a part dies. It must be called on the main thread.
func Run(ctx context.Context, s Settings, out, log io.Writer) (err error) {
	unlock, err := process.LockFolder(s.Data)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.checkFree(); err != nil {
		return err
	}
	st := &Stack{settings: s, out: out, log: log}
	devEnv := filepath.Join(s.Data, "dev.env")
	if err := os.Remove(devEnv); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cannot remove the old dev.env: %w", err)
	}
	if st.secrets, err = loadSecrets(s.Data); err != nil {
		return err
	}
	defer func() {
		if stopErr := st.stop(); err == nil {
			err = stopErr
		}
	}()
	if err := st.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if err := writeEnv(devEnv, st.devEnv()); err != nil {
		return err
	}
	st.welcome(devEnv)
	return st.watch(ctx)
}

// step is a part of the stack: how it is started, and how to see that it is ready.
type step struct {
	name  string
	start func(ctx context.Context) (*child, error)
	ready func(ctx context.Context) error
}

// start starts the parts in order. What the next ones need is ready before they start.
func (st *Stack) start(ctx context.Context) error {
	s := &st.settings
	for _, p := range []step{
		{"kafka", st.startKafka, kafkaReady(s.brokers())},
		{"clickhouse", st.startClickHouse, clickHouseReady(s.clickHouseURL())},
		{"simulator", st.startSimulator, nil},
		{"consumers", st.startConsumers, httpReady("http://" + reachable(s.ConsumersAddr) + "/readyz")},
		{"gateway", st.startGateway, httpReady("http://" + reachable(s.AdminAddr) + "/readyz")},
	} {
		fmt.Fprintf(st.log, "starting %s\n", p.name)
		c, err := p.start(ctx)
		if err != nil {
			return err
		}
		if c != nil {
			st.children = append(st.children, c)
		}
		if err := st.waitReady(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (st *Stack) startKafka(context.Context) (*child, error) {
	s := &st.settings
	if s.Brokers != "" {
		return nil, nil
	}
	return st.program("kafka", "kafkalocal", "-addr", s.KafkaAddr, "-data", filepath.Join(s.Data, "kafka"))
}

func (st *Stack) startClickHouse(ctx context.Context) (*child, error) {
	s := &st.settings
	switch {
	case s.ClickHouseURL != "":
		return nil, nil
	case s.ClickHouseBinary != "":
		data := filepath.Join(s.Data, "clickhouse-server")
		configFile, err := chconfig.WriteServer(data, s.ClickHouseAddr)
		if err != nil {
			return nil, err
		}
		return startChild(s.Data, st.env(), "clickhouse", s.ClickHouseBinary, "server", "--config-file", configFile)
	}
	library, err := engine.Fetch(ctx, st.log)
	if err != nil {
		return nil, err
	}
	return st.program("clickhouse", "chlocal", "-addr", s.ClickHouseAddr, "-data", filepath.Join(s.Data, "clickhouse"), "-lib", library)
}

func (st *Stack) startSimulator(context.Context) (*child, error) {
	if !st.settings.simulates() {
		return nil, nil
	}
	return st.program("simulator", "simulator", "-addr", st.settings.SimulatorAddr)
}

func (st *Stack) startConsumers(ctx context.Context) (*child, error) {
	if err := createDatabase(ctx, st.settings.clickHouseURL()); err != nil {
		return nil, err
	}
	return st.program("consumers", "consumers")
}

func (st *Stack) startGateway(context.Context) (*child, error) {
	c, err := st.program("gateway", "gateway")
	if err == nil {
		// It drains its calls and its spool.
		c.stopTimeout = 45 * time.Second
	}
	return c, err
}

// program starts one of our own programs.
func (st *Stack) program(name, program string, args ...string) (*child, error) {
	return startChild(st.settings.Data, st.env(), name, filepath.Join(st.settings.Bin, program), args...)
}

func (st *Stack) env() []string { return st.settings.environment(st.secrets) }

// watch returns when the context ends, or with an error when a part has died.
func (st *Stack) watch(ctx context.Context) error {
	dead := st.firstDead()
	select {
	case c := <-dead:
		return c.ended()
	case <-ctx.Done():
		fmt.Fprintln(st.log, "stopping; press Ctrl-C again to end at once")
		return nil
	}
}

// firstDead gives the first part that ends.
func (st *Stack) firstDead() <-chan *child {
	dead := make(chan *child, len(st.children))
	for _, c := range st.children {
		go func() {
			<-c.exited
			dead <- c
		}()
	}
	return dead
}

// stop ends the parts, the gateway first and Kafka last.
func (st *Stack) stop() error {
	var errs []error
	for i := len(st.children) - 1; i >= 0; i-- {
		errs = append(errs, st.children[i].stop())
	}
	return errors.Join(errs...)
}
