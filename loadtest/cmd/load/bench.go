package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/tallygate/tallygate/loadtest/internal/bench"
)

// runBench compares the gateway with the bare proxy.
func runBench(ctx context.Context, args []string) error {
	cfg := bench.Config{Out: os.Stdout, Progress: progress}
	f := flag.NewFlagSet("load bench", flag.ExitOnError)
	f.StringVar(&cfg.Bin, "bin", "bin", "`folder` of the programs; nothing is built")
	f.DurationVar(&cfg.Duration, "duration", 0, "how long a target is measured in a round; 0 is the scenario's")
	f.IntVar(&cfg.Rounds, "rounds", 0, "how often each target is measured; 0 is the scenario's")
	f.StringVar(&cfg.JSON, "json", "", "write the whole result to this `file`")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see -help", f.Arg(0))
	}
	return bench.Run(ctx, cfg)
}
