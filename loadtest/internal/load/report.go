package load

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is the outcome of a run. Times are in microseconds.
type Report struct {
	Scenario   string         `json:"scenario"`
	Mode       string         `json:"mode"`
	Baseline   string         `json:"baseline"`
	Processors int            `json:"processors"`
	Go         string         `json:"go"`
	Targets    []TargetReport `json:"targets"`
}

// TargetReport is what one target did.
type TargetReport struct {
	Name   string  `json:"name"`
	Rounds []Round `json:"rounds"`
	// Failed counts calls by what went wrong, over all rounds.
	Failed map[string]int64 `json:"failed"`
	Calls  int64            `json:"calls"`

	PerSecond Spread `json:"per_second"`
	CPUUs     Spread `json:"cpu_us_per_call"`
	// TimesBaseline is CPUUs divided by the baseline's of the same round.
	TimesBaseline Spread `json:"times_baseline"`
	RSSMiB        Spread `json:"rss_mib"`
	P50Us         Spread `json:"p50_us"`
	P99Us         Spread `json:"p99_us"`
	// AddedP50Us and AddedP99Us are the differences from the baseline's of the same round.
	AddedP50Us Spread `json:"added_p50_us"`
	AddedP99Us Spread `json:"added_p99_us"`
	// FirstP50Us is the time to the first byte of streams.
	FirstP50Us Spread `json:"first_p50_us"`
	LagP99Us   Spread `json:"lag_p99_us"`
	Noise      Spread `json:"noise"`
}

// Round is one measurement of one target.
type Round struct {
	Calls  int64            `json:"calls"`
	OK     int64            `json:"ok"`
	Failed map[string]int64 `json:"failed,omitempty"`
	// PerSecond is calls that ended, CPUUs the target's processor time for each of
	// them; zero if it was not measured.
	PerSecond float64 `json:"per_second"`
	CPUUs     float64 `json:"cpu_us_per_call"`
	RSSMiB    float64 `json:"rss_mib"`
	// Latencies are of calls that went well, from the moment they were due.
	P50Us  float64 `json:"p50_us"`
	P90Us  float64 `json:"p90_us"`
	P99Us  float64 `json:"p99_us"`
	P999Us float64 `json:"p999_us"`
	MaxUs  float64 `json:"max_us"`
	// First is to the first byte of streams.
	FirstP50Us float64 `json:"first_p50_us"`
	FirstP99Us float64 `json:"first_p99_us"`
	// Lag is how late calls were sent: by the generator, or because no connection was free.
	LagP50Us float64 `json:"lag_p50_us"`
	LagP99Us float64 `json:"lag_p99_us"`
	// Noise is the share of the machine that others used.
	Noise float64 `json:"noise"`
}

// addFailures adds those of another measurement.
func (r *Round) addFailures(failed map[string]int64) {
	if r.Failed == nil {
		r.Failed = map[string]int64{}
	}
	for class, n := range failed {
		r.Failed[class] += n
	}
}

// Spread is a median over rounds with its range.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func (t *tally) round(used spanUsage) Round {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := Round{Calls: t.calls, OK: t.ok, Failed: maps.Clone(t.failed), Noise: used.noise, RSSMiB: float64(used.rssBytes) / (1 << 20)}
	if used.ended > 0 && used.time > 0 {
		r.PerSecond = float64(used.ended) / used.time.Seconds()
		r.CPUUs = micros(used.cpu) / float64(used.ended)
	}
	r.P50Us, r.P90Us = micros(quantile(t.latency, 50)), micros(quantile(t.latency, 90))
	r.P99Us, r.P999Us = micros(quantile(t.latency, 99)), micros(quantile(t.latency, 99.9))
	r.MaxUs = micros(quantile(t.latency, 100))
	r.FirstP50Us, r.FirstP99Us = micros(quantile(t.first, 50)), micros(quantile(t.first, 99))
	r.LagP50Us, r.LagP99Us = micros(quantile(t.lag, 50)), micros(quantile(t.lag, 99))
	return r
}

// summarize fills in the medians.
func (r *Report) summarize() *Report {
	base := slices.IndexFunc(r.Targets, func(t TargetReport) bool { return t.Name == r.Baseline })
	for i := range r.Targets {
		t := &r.Targets[i]
		t.Failed = map[string]int64{}
		for _, round := range t.Rounds {
			t.Calls += round.Calls
			for class, n := range round.Failed {
				t.Failed[class] += n
			}
		}
		over := func(f func(Round) float64) Spread { return spread(t.Rounds, f) }
		t.PerSecond = over(func(r Round) float64 { return r.PerSecond })
		t.CPUUs = over(func(r Round) float64 { return r.CPUUs })
		t.RSSMiB = over(func(r Round) float64 { return r.RSSMiB })
		t.P50Us = over(func(r Round) float64 { return r.P50Us })
		t.P99Us = over(func(r Round) float64 { return r.P99Us })
		t.FirstP50Us = over(func(r Round) float64 { return r.FirstP50Us })
		t.LagP99Us = over(func(r Round) float64 { return r.LagP99Us })
		t.Noise = over(func(r Round) float64 { return r.Noise })
		if base < 0 {
			continue
		}
		rounds := r.Targets[base].Rounds
		t.TimesBaseline = pairs(t.Rounds, rounds, func(r, b Round) float64 {
			if b.CPUUs == 0 {
				return 0
			}
			return r.CPUUs / b.CPUUs
		})
		t.AddedP50Us = pairs(t.Rounds, rounds, func(r, b Round) float64 { return r.P50Us - b.P50Us })
		t.AddedP99Us = pairs(t.Rounds, rounds, func(r, b Round) float64 { return r.P99Us - b.P99Us })
	}
	return r
}

// spread is over the rounds of one target.
func spread(rounds []Round, f func(Round) float64) Spread {
	values := make([]float64, len(rounds))
	for i, r := range rounds {
		values[i] = f(r)
	}
	return spreadOf(values)
}

// pairs is over the rounds of a target and those of the baseline beside them.
func pairs(rounds, base []Round, f func(r, b Round) float64) Spread {
	values := make([]float64, min(len(rounds), len(base)))
	for i := range values {
		values[i] = f(rounds[i], base[i])
	}
	return spreadOf(values)
}

func spreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	slices.Sort(values)
	n := len(values)
	return Spread{Median: (values[(n-1)/2] + values[n/2]) / 2, Min: values[0], Max: values[n-1]}
}

// Strict returns an error if any call failed, or none was made.
func (r *Report) Strict() error {
	for i := range r.Targets {
		t := &r.Targets[i]
		if t.Calls == 0 {
			return fmt.Errorf("no call was made to %q", t.Name)
		}
		if len(t.Failed) > 0 {
			return fmt.Errorf("calls to %q failed: %s", t.Name, failures(t.Failed))
		}
	}
	return nil
}

// WriteJSON writes the whole report.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// WriteTable writes a line for each target: medians, and ranges in parentheses.
// "Others" is the most of the machine that uninvolved programs used in a round.
func (r *Report) WriteTable(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	streams := slices.ContainsFunc(r.Targets, func(t TargetReport) bool { return t.FirstP50Us.Max > 0 })
	first := ""
	if streams {
		first = "first byte p50\t"
	}
	fmt.Fprintf(tw, "%s\tcalls/s\tCPU µs/call\t× %s\tp50 µs\tp99 µs\tadded p50\tadded p99\t%sRSS MiB\tothers\tcalls\tfailed\n",
		cmp.Or(r.Scenario, "target"), r.Baseline, first)
	for i := range r.Targets {
		t := &r.Targets[i]
		if streams {
			first = t.FirstP50Us.text("%.0f") + "\t"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s%s\t%.0f %%\t%d\t%s\n", t.Name,
			t.PerSecond.text("%.0f"), t.CPUUs.text("%.1f"), t.TimesBaseline.text("%.2f"), t.P50Us.text("%.0f"), t.P99Us.text("%.0f"),
			t.AddedP50Us.text("%.0f"), t.AddedP99Us.text("%.0f"), first, t.RSSMiB.text("%.0f"), 100*t.Noise.Max, t.Calls, failures(t.Failed))
	}
	return tw.Flush()
}

func (s Spread) text(format string) string {
	median, low, high := fmt.Sprintf(format, s.Median), fmt.Sprintf(format, s.Min), fmt.Sprintf(format, s.Max)
	if low == high {
		return median
	}
	return median + " (" + low + "–" + high + ")"
}

func failures(failed map[string]int64) string {
	if len(failed) == 0 {
		return "0"
	}
	var parts []string
	for _, class := range slices.Sorted(maps.Keys(failed)) {
		parts = append(parts, fmt.Sprintf("%s %d", class, failed[class]))
	}
	return strings.Join(parts, ", ")
}
