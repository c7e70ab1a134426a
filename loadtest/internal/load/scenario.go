// Package load sends chat completions to one or more targets, measures what they
// cost and how long they take, and checks every answer.
//
// In an open loop calls are sent at a fixed rate, whatever the target does, and
// each one's time counts from the moment at which it was due: a target that
// stalls cannot hide the calls that had to wait meanwhile ("coordinated
// omission"). In a closed loop each connection sends its next call when the last
// one was answered, which finds the most a target can do.
//
// Targets are measured in turn, round by round, in one run, so that whatever else
// the machine does falls on all of them.
package load

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Modes of sending.
const (
	Open   = "open"
	Closed = "closed"
)

// Scenario says what to send, to whom and how fast. It is a file of loadtest/scenario.
type Scenario struct {
	// Name stands in the report.
	Name string `yaml:"name"`
	// Mode is "open" (fixed rate) or "closed" (as fast as the connections allow). Default open.
	Mode string `yaml:"mode"`
	// Rate is the number of calls per second in an open loop. Default 500.
	Rate float64 `yaml:"rate"`
	// Connections is how many calls can be under way at once. Default 32.
	Connections int `yaml:"connections"`
	// Duration is how long one target is measured in one round. Default 5s.
	Duration time.Duration `yaml:"duration"`
	// Warmup goes before each measurement and is not counted. Default 500ms.
	Warmup time.Duration `yaml:"warmup"`
	// Rounds is how often each target is measured. Default 3.
	Rounds int `yaml:"rounds"`
	// Calls ends a measurement after that many calls, warm-up included; 0 is no bound but the time.
	Calls int64 `yaml:"calls"`
	// Timeout is for one call. Default 10s.
	Timeout time.Duration `yaml:"timeout"`
	// Model is what is asked for. Default gpt-5-mini.
	Model string `yaml:"model"`
	// BodyBytes is the size of a request's body. Default 470.
	BodyBytes int `yaml:"body_bytes"`
	// Variants is how many different requests there are. Default 16.
	Variants int `yaml:"variants"`
	// StreamShare is the share of calls that ask for a stream, 0 to 1.
	StreamShare float64 `yaml:"stream_share"`
	// OmitUsage leaves include_usage out of streams, whose tokens are then unknown.
	OmitUsage bool `yaml:"omit_usage"`
	// MaxTokens is sent as max_completion_tokens; 0 sends none.
	MaxTokens int `yaml:"max_tokens"`
	// Directives tell the simulator how to behave, through the request's user.
	Directives string `yaml:"directives"`
	// OutputTokens is how many each answer must report; 0 takes any number above zero.
	OutputTokens int64 `yaml:"output_tokens"`
	// Baseline is the target with which the others are compared. Default: the first.
	Baseline string `yaml:"baseline"`
	// Pin binds the generator to these processors. Default: none.
	Pin []int `yaml:"pin"`
	// Companions are processes that serve the targets, by pid or by the address they
	// listen on: their work is not counted as disturbance.
	Companions []string `yaml:"companions"`
	// AllowRemote permits targets that are not on this machine.
	AllowRemote bool `yaml:"allow_remote"`
	// Targets are measured in turn.
	Targets []Target `yaml:"targets"`
}

// Target is a server to measure.
type Target struct {
	// Name stands in the report.
	Name string `yaml:"name"`
	// URL is http://host:port/path; a path that is empty means /v1/chat/completions.
	URL string `yaml:"url"`
	// Key is its API key, or env:NAME for one from the environment.
	Key string `yaml:"key"`
	// PID is its process; 0 is who listens on the port, -1 is not measured.
	PID int `yaml:"pid"`
}

// Bounds: nothing that a scenario says can make a run endless or exhaust the machine.
const (
	rateMax        = 1_000_000
	connectionsMax = 10_000
	roundsMax      = 1000
	callsMax       = 100_000_000
	bodyMaxBytes   = 16 << 20
	variantsMax    = 10_000
	runMax         = time.Hour
)

// Default returns a scenario without targets.
func Default() Scenario {
	return Scenario{
		Mode: Open, Rate: 500, Connections: 32, Duration: 5 * time.Second, Warmup: 500 * time.Millisecond, Rounds: 3,
		Timeout: 10 * time.Second, Model: "gpt-5-mini", BodyBytes: 470, Variants: 16,
	}
}

// LoadScenario reads a file over the defaults. It does not validate: flags may follow.
func LoadScenario(path string) (Scenario, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Default(), fmt.Errorf("cannot read the scenario: %w", err)
	}
	return ParseScenario(path, b)
}

// ParseScenario reads a scenario over the defaults. The name is used in errors.
func ParseScenario(name string, b []byte) (Scenario, error) {
	s := Default()
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&s); err != nil && !errors.Is(err, io.EOF) {
		return s, fmt.Errorf("cannot read the scenario %q: %w", name, err)
	}
	return s, nil
}

// Validate returns all mistakes at once. It resolves keys and fills in what is left out.
func (s *Scenario) Validate() error {
	var errs []error
	wrong := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
	}
	within := func(field string, v, low, high float64) {
		if !(v >= low && v <= high) {
			wrong(field, "must be from %g to %g, got %g", low, high, v)
		}
	}
	if s.Mode != Open && s.Mode != Closed {
		wrong("mode", `must be "open" or "closed", got %q`, s.Mode)
	}
	within("rate", s.Rate, 0.1, rateMax)
	within("connections", float64(s.Connections), 1, connectionsMax)
	within("rounds", float64(s.Rounds), 1, roundsMax)
	within("calls", float64(s.Calls), 0, callsMax)
	within("body_bytes", float64(s.BodyBytes), 1, bodyMaxBytes)
	within("variants", float64(s.Variants), 1, variantsMax)
	within("stream_share", s.StreamShare, 0, 1)
	within("max_tokens", float64(s.MaxTokens), 0, 10_000_000)
	if s.Duration < 10*time.Millisecond || s.Warmup < 0 || s.Timeout < time.Millisecond {
		wrong("duration, warmup, timeout", "must be at least 10ms, 0s and 1ms, got %s, %s and %s", s.Duration, s.Warmup, s.Timeout)
	}
	if total := time.Duration(s.Rounds*len(s.Targets)) * (s.Duration + s.Warmup); total > runMax {
		wrong("duration", "the whole run would take %s; the most is %s", total, runMax)
	}
	if s.Model == "" {
		wrong("model", "must not be empty")
	}
	errs = append(errs, s.validateTargets()...)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("the scenario %q is wrong:\n%w", s.Name, err)
	}
	return nil
}

func (s *Scenario) validateTargets() []error {
	if len(s.Targets) == 0 {
		return []error{errors.New("targets: name at least one, in the scenario or by -target name=http://host:port")}
	}
	if s.Baseline == "" {
		s.Baseline = s.Targets[0].Name
	}
	var errs []error
	seen := map[string]bool{}
	for i := range s.Targets {
		t := &s.Targets[i]
		if t.Name == "" || seen[t.Name] {
			errs = append(errs, fmt.Errorf("targets[%d].name: must be there and unique, got %q", i, t.Name))
		}
		seen[t.Name] = true
		if name, ok := strings.CutPrefix(t.Key, "env:"); ok {
			if t.Key = os.Getenv(name); t.Key == "" {
				errs = append(errs, fmt.Errorf("targets[%d].key: the environment variable %s is not set", i, name))
			}
		}
		if _, err := resolve(t.URL, s.AllowRemote); err != nil {
			errs = append(errs, fmt.Errorf("targets[%d].url: %w", i, err))
		}
	}
	if !seen[s.Baseline] {
		errs = append(errs, fmt.Errorf("baseline: there is no target %q", s.Baseline))
	}
	return errs
}
