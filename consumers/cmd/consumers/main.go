// Command consumers turns the log into ledgers, audit tables and rollups in
// ClickHouse, and feeds the ledger's balances back as limits.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/tallygate/tallygate/consumers/internal/projection/audit"
	"github.com/tallygate/tallygate/consumers/internal/projection/ledger"
	"github.com/tallygate/tallygate/consumers/internal/projection/rollup"
	"github.com/tallygate/tallygate/schemas/config"
)

// known are the projections, in the order in which they are started.
var known = []string{ledger.Name, audit.Name, rollup.Name}

// settings are the command line.
type settings struct {
	config      string
	check       bool
	migrateOnly bool
	projections []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := start(ctx, os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "consumers: "+err.Error())
		}
		os.Exit(1)
	}
}

func start(ctx context.Context, args []string) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	cfg, err := config.Load(s.config)
	if err != nil {
		return err
	}
	if s.check {
		fmt.Println("the configuration is right")
		return nil
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	return serve(ctx, s, cfg)
}

func parse(args []string) (settings, error) {
	var s settings
	var projections string
	fs := flag.NewFlagSet("consumers", flag.ContinueOnError)
	fs.StringVar(&s.config, "config", os.Getenv("TALLYGATE_CONFIG"), "the configuration `file`; TALLYGATE_CONFIG")
	fs.BoolVar(&s.check, "check", false, "check the configuration and exit")
	fs.BoolVar(&s.migrateOnly, "migrate-only", false, "bring ClickHouse's tables up to date and exit")
	fs.StringVar(&projections, "projections", strings.Join(known, ","), "the projections to run, a `list` with commas")
	if err := fs.Parse(args); err != nil {
		return s, err
	}
	if fs.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if s.config == "" {
		return s, errors.New("no configuration is named; use -config or TALLYGATE_CONFIG")
	}
	for name := range strings.SplitSeq(projections, ",") {
		name = strings.TrimSpace(name)
		if !slices.Contains(known, name) {
			return s, fmt.Errorf("unknown projection %q; there are %s", name, strings.Join(known, ", "))
		}
		if !slices.Contains(s.projections, name) {
			s.projections = append(s.projections, name)
		}
	}
	return s, nil
}
