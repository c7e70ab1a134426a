// Package bench compares the gateway with a bare proxy, in one run and on one
// machine: processor time per call, and added latency of plain and streamed
// answers. It starts and stops all that it needs.
package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/tallygate/tallygate/loadtest/internal/load"
	"github.com/tallygate/tallygate/loadtest/internal/proc"
	"github.com/tallygate/tallygate/loadtest/scenario"
)

// Config says what to run.
type Config struct {
	// Bin is the folder of the programs. Nothing is built.
	Bin string
	// Duration and Rounds go before those of the scenarios, if they are set.
	Duration time.Duration
	Rounds   int
	// JSON is a file for the whole result, or empty.
	JSON string
	// Out takes the tables.
	Out io.Writer
	// Progress is told of each measurement; nil tells nobody.
	Progress func(target string, round int, r load.Round)
}

// phase is one scenario and how the programs are placed for it.
type phase struct {
	scenario string
	about    string
	// pinned binds the targets to one processor, all else to another: so that their
	// processor time is not that of moving about. Latency is measured without it.
	pinned  bool
	targets []string
}

var phases = []phase{
	{"throughput", "Processor time per call: 32 connections, as fast as they can, target pinned to one processor.", true, []string{targetBare, targetGateway}},
	{"latency", "Added latency at 500 calls/s, from the moment each was due; direct is the simulator itself.", false, []string{targetDirect, targetBare, targetGateway}},
	{"latency_streams", "The same with streams of 20 events; times are to the last byte.", false, []string{targetDirect, targetBare, targetGateway}},
}

type bench struct {
	Config
	// root is the working folder, dir the phase's own in it.
	root, dir string
	running   []*process
}

// Run makes all measurements and prints their tables. Whatever happens, all that
// was started is stopped, and the working folder removed.
func Run(ctx context.Context, cfg Config) (err error) {
	dir, err := os.MkdirTemp("", "tallygate-bench-")
	if err != nil {
		return fmt.Errorf("cannot make a working folder: %w", err)
	}
	b := &bench{Config: cfg, root: dir}
	defer func() { err = errors.Join(err, b.stopAll(), os.RemoveAll(dir)) }()
	fmt.Fprintf(b.Out, "commit %s; %s, %d processors, %s/%s, %s\n", commit(ctx), processorName(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	fmt.Fprintln(b.Out, "medians over rounds, ranges in parentheses; request bodies of 470 bytes; times in µs")
	var reports []*load.Report
	for i := range phases {
		report, err := b.measure(ctx, &phases[i])
		if err != nil {
			return err
		}
		reports = append(reports, report)
	}
	return b.write(reports)
}

// measure runs one phase with programs of its own.
func (b *bench) measure(ctx context.Context, p *phase) (_ *load.Report, err error) {
	text, err := scenario.Files.ReadFile(p.scenario + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("cannot read the scenario: %w", err)
	}
	s, err := load.ParseScenario(p.scenario, text)
	if err != nil {
		return nil, err
	}
	if b.Duration > 0 {
		s.Duration = b.Duration
	}
	if b.Rounds > 0 {
		s.Rounds = b.Rounds
	}
	var targetCPUs, otherCPUs []int
	if p.pinned && runtime.NumCPU() > 1 && runtime.GOOS == "linux" {
		targetCPUs, otherCPUs = []int{0}, []int{1}
		if err := pinSelf(otherCPUs); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, pinSelf(all())) }()
	}
	// Phases must not find each other's data.
	b.dir = filepath.Join(b.root, p.scenario)
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make a working folder: %w", err)
	}
	started, err := b.startStack(ctx, targetCPUs, otherCPUs)
	if err != nil {
		return nil, err
	}
	s.Companions, s.Baseline = started.companions, targetBare
	for _, name := range p.targets {
		s.Targets = append(s.Targets, started.targets[name])
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	report, err := load.Run(ctx, &s, load.Options{RepeatNoisy: true, Progress: b.Progress})
	if err := errors.Join(err, b.stopAll()); err != nil {
		return nil, err
	}
	fmt.Fprintf(b.Out, "\n%s\n", p.about)
	if err := report.WriteTable(b.Out); err != nil {
		return nil, err
	}
	return report, report.Strict()
}

func (b *bench) write(reports []*load.Report) error {
	if b.JSON == "" {
		return nil
	}
	text, err := json.MarshalIndent(reports, "", "  ")
	if err == nil {
		err = os.WriteFile(b.JSON, append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("cannot write the result: %w", err)
	}
	return nil
}

// pinSelf binds this process, and sizes its runtime, to processors.
func pinSelf(cpus []int) error {
	if err := proc.Pin(os.Getpid(), cpus...); err != nil {
		return err
	}
	runtime.GOMAXPROCS(len(cpus))
	return nil
}

func all() []int {
	cpus := make([]int, runtime.NumCPU())
	for i := range cpus {
		cpus[i] = i
	}
	return cpus
}

// commit names the commit of the working tree, if git can tell.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// processorName is what the machine calls its processor.
func processorName() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}
