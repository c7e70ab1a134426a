// Command load sends chat completions at a fixed rate, or as fast as it can, to
// one or more targets in turn, and reports what they cost and how long they take.
//
//	load -scenario loadtest/scenario/latency.yaml -target bare=http://127.0.0.1:8091 -target gateway=http://127.0.0.1:8080
//	load bench -bin ./bin
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/tallygate/tallygate/loadtest/internal/load"
	"github.com/tallygate/tallygate/loadtest/internal/proc"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := dispatch(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func dispatch(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "bench" {
		return runBench(ctx, args[1:])
	}
	return runLoad(ctx, args)
}

// outputs are where the results go.
type outputs struct {
	record, json string
	strict       bool
	repeatNoisy  bool
}

func runLoad(ctx context.Context, args []string) error {
	s, out, err := parse(args)
	if err != nil {
		return err
	}
	if err := s.Validate(); err != nil {
		return err
	}
	if len(s.Pin) > 0 {
		if err := proc.PinSelf(s.Pin...); err != nil {
			return err
		}
	}
	options := load.Options{RepeatNoisy: out.repeatNoisy, Progress: progress}
	if out.record != "" {
		if options.Record, err = load.NewRecorder(out.record); err != nil {
			return err
		}
	}
	report, err := load.Run(ctx, &s, options)
	if options.Record != nil {
		if closeErr := options.Record.Close(); err == nil {
			err = closeErr
		}
	}
	if report != nil {
		if writeErr := write(report, out.json); err == nil {
			err = writeErr
		}
	}
	if err != nil {
		return err
	}
	if out.strict {
		return report.Strict()
	}
	return nil
}

// parse reads the flags over the scenario file that they may name.
func parse(args []string) (load.Scenario, outputs, error) {
	var out outputs
	s := load.Default()
	if path := scenarioPath(args); path != "" {
		var err error
		if s, err = load.LoadScenario(path); err != nil {
			return s, out, err
		}
	}
	f := flag.NewFlagSet("load", flag.ExitOnError)
	f.String("scenario", "", "YAML `file` with the defaults for all other flags")
	f.StringVar(&s.Mode, "mode", s.Mode, "open (fixed rate) or closed (as fast as the connections allow)")
	f.Float64Var(&s.Rate, "rate", s.Rate, "calls per second in an open loop")
	f.IntVar(&s.Connections, "connections", s.Connections, "most calls at once")
	f.DurationVar(&s.Duration, "duration", s.Duration, "how long a target is measured in a round")
	f.DurationVar(&s.Warmup, "warmup", s.Warmup, "goes before each measurement, uncounted")
	f.IntVar(&s.Rounds, "rounds", s.Rounds, "how often each target is measured")
	f.Int64Var(&s.Calls, "calls", s.Calls, "end a measurement after this many calls; 0: by time only")
	f.DurationVar(&s.Timeout, "timeout", s.Timeout, "for one call")
	f.StringVar(&s.Model, "model", s.Model, "what to ask for")
	f.IntVar(&s.BodyBytes, "body-bytes", s.BodyBytes, "size of a request's body")
	f.IntVar(&s.Variants, "variants", s.Variants, "how many different requests there are")
	f.Float64Var(&s.StreamShare, "stream-share", s.StreamShare, "share of calls that ask for a stream, 0 to 1")
	f.IntVar(&s.MaxTokens, "max-tokens", s.MaxTokens, "max_completion_tokens; 0 sends none")
	f.StringVar(&s.Directives, "directives", s.Directives, "how the simulator shall behave")
	f.StringVar(&s.Baseline, "baseline", s.Baseline, "`target` with which the others are compared")
	f.BoolVar(&s.AllowRemote, "allow-remote", s.AllowRemote, "permit targets that are not on this machine")
	f.StringVar(&out.record, "record", "", "write a line of JSON for each answer to this `file`, for check")
	f.StringVar(&out.json, "json", "", "write the report as JSON to this `file`; - is standard output, instead of the table")
	f.BoolVar(&out.strict, "strict", false, "fail if any call failed")
	f.BoolVar(&out.repeatNoisy, "repeat-noisy", false, "repeat measurements in which other programs used over 10 % of the machine")
	f.Func("pin", "bind the generator to these `processors`, for example 1 or 2,3", func(text string) (err error) {
		s.Pin, err = parseProcessors(text)
		return err
	})
	f.Func("companion", "`pid` or address of a process that serves the targets; may be repeated", func(text string) error {
		s.Companions = append(s.Companions, text)
		return nil
	})
	key := f.String("key", "", "API `key`, or env:NAME, of all targets that have none")
	var targets []load.Target
	f.Func("target", "`name=url[,key=KEY][,pid=PID]`; may be repeated; instead of the scenario's", func(text string) error {
		t, err := parseTarget(text)
		targets = append(targets, t)
		return err
	})
	if err := f.Parse(args); err != nil {
		return s, out, err
	}
	if f.NArg() > 0 {
		return s, out, fmt.Errorf("unexpected argument %q; see -help", f.Arg(0))
	}
	if len(targets) > 0 {
		s.Targets = targets
	}
	for i := range s.Targets {
		if s.Targets[i].Key == "" {
			s.Targets[i].Key = *key
		}
	}
	return s, out, nil
}

// scenarioPath finds the scenario before the flags are parsed, whose defaults it holds.
func scenarioPath(args []string) string {
	for i, arg := range args {
		name, value, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		switch {
		case name != "scenario" || !strings.HasPrefix(arg, "-"):
		case hasValue:
			return value
		case i+1 < len(args):
			return args[i+1]
		}
	}
	return ""
}

func parseTarget(text string) (load.Target, error) {
	name, rest, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return load.Target{}, fmt.Errorf("%q must be name=url[,key=KEY][,pid=PID]", text)
	}
	parts := strings.Split(rest, ",")
	t := load.Target{Name: name, URL: parts[0]}
	for _, part := range parts[1:] {
		field, value, _ := strings.Cut(part, "=")
		switch field {
		case "key":
			t.Key = value
		case "pid":
			pid, err := strconv.Atoi(value)
			if err != nil {
				return t, fmt.Errorf("%q is not a pid", value)
			}
			t.PID = pid
		default:
			return t, fmt.Errorf("%q must be key=KEY or pid=PID", part)
		}
	}
	return t, nil
}

func parseProcessors(text string) ([]int, error) {
	var cpus []int
	for part := range strings.SplitSeq(text, ",") {
		cpu, err := strconv.Atoi(part)
		if err != nil || cpu < 0 {
			return nil, fmt.Errorf("%q is not the number of a processor", part)
		}
		cpus = append(cpus, cpu)
	}
	return cpus, nil
}

// progress tells of each measurement on standard error.
func progress(target string, round int, r load.Round) {
	fmt.Fprintf(os.Stderr, "round %d %-12s %7.0f calls/s  %6.1f µs CPU/call  p50 %6.0f µs  p99 %7.0f µs  failed %d  others used %.0f %% of the machine\n",
		round+1, target, r.PerSecond, r.CPUUs, r.P50Us, r.P99Us, r.Calls-r.OK, 100*r.Noise)
}

func write(report *load.Report, path string) error {
	if path == "-" {
		return report.WriteJSON(os.Stdout)
	}
	if err := report.WriteTable(os.Stdout); err != nil || path == "" {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	if err := report.WriteJSON(f); err != nil {
		f.Close()
		return fmt.Errorf("cannot write the report: %w", err)
	}
	return f.Close()
}
