package load

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/tallygate/tallygate/loadtest/internal/proc"
)

// noiseMax is the share of the machine that processes which have no part in the
// run may use in a round; a round above it is repeated.
const noiseMax = 0.1

// Options are what a run needs beside its scenario.
type Options struct {
	// Record takes every answer; nil records none.
	Record *Recorder
	// RepeatNoisy repeats a measurement that other programs disturbed, once, and keeps
	// the one that was disturbed less.
	RepeatNoisy bool
	// Progress is told of each measurement; nil tells nobody.
	Progress func(target string, round int, r Round)
}

// Run measures every target in every round. The scenario must be valid. If ctx
// ends, what was measured so far is returned with its error.
func Run(ctx context.Context, s *Scenario, o Options) (*Report, error) {
	runner := runner{scenario: s, options: o}
	if err := runner.prepare(); err != nil {
		return nil, err
	}
	report := &Report{Scenario: s.Name, Mode: s.Mode, Baseline: s.Baseline, Processors: runtime.NumCPU(), Go: runtime.Version()}
	for i := range runner.targets {
		report.Targets = append(report.Targets, TargetReport{Name: runner.targets[i].name})
	}
	for round := range s.Rounds {
		for i := range runner.targets {
			// Each round begins with another target, so that none is always the first.
			i := (i + round) % len(runner.targets)
			r, err := runner.measure(ctx, &runner.targets[i], round)
			if err != nil {
				return report.summarize(), err
			}
			report.Targets[i].Rounds = append(report.Targets[i].Rounds, r)
		}
	}
	return report.summarize(), nil
}

type runner struct {
	scenario *Scenario
	options  Options
	targets  []prepared
	// known are the processes that have a part in the run.
	known []int
}

type prepared struct {
	name     string
	to       destination
	requests *requests
	pid      int // 0: not measured
}

func (r *runner) prepare() error {
	s := r.scenario
	for i := range s.Targets {
		t := &s.Targets[i]
		to, err := resolve(t.URL, s.AllowRemote)
		if err != nil {
			return fmt.Errorf("target %q: %w", t.Name, err)
		}
		p := prepared{name: t.Name, to: to, requests: newRequests(s, t, to)}
		switch {
		case t.PID > 0:
			p.pid = t.PID
		case t.PID == 0 && to.addr.Addr().IsLoopback() && runtime.GOOS == "linux":
			if p.pid, err = proc.Listener(to.addr); err != nil {
				return fmt.Errorf("target %q: %w", t.Name, err)
			}
		}
		r.targets = append(r.targets, p)
		if p.pid > 0 {
			r.known = append(r.known, p.pid)
		}
	}
	for _, companion := range s.Companions {
		pid, err := strconv.Atoi(companion)
		if err != nil {
			addr, err := netip.ParseAddrPort(companion)
			if err != nil {
				return fmt.Errorf("companion %q: must be a pid or an address such as 127.0.0.1:8090", companion)
			}
			if pid, err = proc.Listener(addr); err != nil {
				return fmt.Errorf("companion %q: %w", companion, err)
			}
		}
		r.known = append(r.known, pid)
	}
	r.known = append(r.known, os.Getpid())
	return nil
}

// measure measures a target, a second time if others disturbed it and that is asked for.
func (r *runner) measure(ctx context.Context, p *prepared, round int) (Round, error) {
	out, err := r.once(ctx, p)
	if err != nil {
		return out, err
	}
	if r.options.RepeatNoisy && out.Noise > noiseMax {
		again, err := r.once(ctx, p)
		if err != nil {
			return out, err
		}
		// Failures are never dropped with the measurement that they were in.
		again.addFailures(out.Failed)
		if again.Noise < out.Noise {
			out = again
		} else {
			out.Failed = again.Failed
		}
	}
	if r.options.Progress != nil {
		r.options.Progress(p.name, round, out)
	}
	return out, nil
}

// once is one measurement: warm-up, then the span that counts.
func (r *runner) once(ctx context.Context, p *prepared) (Round, error) {
	s := r.scenario
	run := runOpen
	if s.Mode == Closed {
		run = runClosed
	}
	// Connections are made before the first call is due.
	begin := time.Now().Add(20 * time.Millisecond)
	from := begin.Add(s.Warmup)
	end := from.Add(s.Duration)
	t := newTally(s, p.name, r.options.Record, from)

	span := make(chan spanUsage, 1)
	ended := make(chan struct{})
	go func() { span <- r.span(p, t, from, end, ended) }()
	run(ctx, s, p.to, p.requests, t, begin, end)
	close(ended)
	used := <-span
	if used.err != nil {
		return Round{}, fmt.Errorf("target %q: %w", p.name, used.err)
	}
	return t.round(used), ctx.Err()
}

// spanUsage is what was used while calls were counted.
type spanUsage struct {
	time     time.Duration
	ended    int64 // calls
	cpu      time.Duration
	rssBytes int64
	noise    float64
	err      error
}

// reading is what is known at one moment.
type reading struct {
	at     time.Time
	ended  int64
	target proc.Usage
	// targetErr says why target could not be read.
	targetErr error
	known     time.Duration
	machine   proc.Busy
}

// span reads the counters at both ends of the span that counts. A run that has
// sent all its calls may end it early. The processor time of a target that did not
// live through it is zero: not measured.
func (r *runner) span(p *prepared, t *tally, from, end time.Time, ended <-chan struct{}) spanUsage {
	wait := func(until time.Time) {
		select {
		case <-time.After(time.Until(until)):
		case <-ended:
		}
	}
	wait(from)
	first, err := r.read(p, t)
	if err != nil {
		return spanUsage{err: err}
	}
	wait(end)
	last, err := r.read(p, t)
	if err != nil {
		return spanUsage{err: err}
	}
	out := spanUsage{time: last.at.Sub(first.at), ended: last.ended - first.ended}
	if first.targetErr == nil && last.targetErr == nil {
		out.cpu, out.rssBytes = last.target.CPU-first.target.CPU, last.target.RSSBytes
	}
	if total := last.machine.Total - first.machine.Total; total > 0 {
		others := last.machine.Used - first.machine.Used - (last.known - first.known)
		out.noise = max(0, float64(others)/float64(total))
	}
	return out
}

func (r *runner) read(p *prepared, t *tally) (reading, error) {
	out := reading{at: time.Now(), ended: t.ended.Load()}
	if runtime.GOOS != "linux" {
		return out, nil
	}
	var err error
	if p.pid > 0 {
		// A target that was killed, as tests do, is measured no further: see span.
		out.target, out.targetErr = proc.Read(p.pid)
	}
	for _, pid := range r.known {
		// A companion may be gone: then it uses nothing more.
		if u, err := proc.Read(pid); err == nil {
			out.known += u.CPU
		}
	}
	out.machine, err = proc.Machine()
	return out, err
}
