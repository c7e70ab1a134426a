package simulator

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Fate is what becomes of one request.
type Fate uint8

// The fates, in the order in which a draw goes through them.
const (
	// Answered is a complete and correct answer.
	Answered Fate = iota
	// Refused is an HTTP error with an OpenAI error body.
	Refused
	// Cut closes the connection midway: half a JSON body, or a stream without its end.
	Cut
	// Stalled sends part of the answer and then nothing, with the connection open.
	Stalled
	// Broken ends a stream with an error event; a JSON answer becomes a 500.
	Broken
	// Hung never answers.
	Hung
	// Dropped closes the connection without a single byte.
	Dropped
	// Garbled is a 200 whose body, or one event of it, is not JSON.
	Garbled
	// HTML is a 200 with a web page, as a broken middlebox would send it.
	HTML
	// Mistyped is a correct body under the wrong Content-Type.
	Mistyped
	// Unmetered is a correct answer that says nothing about usage.
	Unmetered
	fateCount
)

// fateNames are the directive keys, and the names in statistics.
var fateNames = [fateCount]string{
	"answer", "error", "cut", "stall", "break", "hang", "drop", "garbage", "html", "wrong_type", "no_usage",
}

// String returns the directive key of the fate.
func (f Fate) String() string {
	if f < fateCount {
		return fateNames[f]
	}
	return fmt.Sprintf("fate(%d)", uint8(f))
}

const (
	tokensMax      = 2_000_000
	halfway        = -1
	directivesMark = "sim:"
)

// Behaviour is how the simulator treats one request.
type Behaviour struct {
	// Latency is the time to the first byte of an answer or of a stream's first event.
	Latency Distribution
	// Gap is the time between two content events of a stream.
	Gap Distribution
	// Tokens is the length of the answer; 0 derives it from the prompt (48 to 80).
	Tokens int
	// ChunkTokens is how many tokens one stream event carries.
	ChunkTokens int
	// Burst is how many stream events are sent by one write; each is due with the first.
	Burst int
	// CachedTokens and ReasoningTokens are reported as parts of input and output.
	CachedTokens, ReasoningTokens int
	// Status and Code are what a refusal says; RetryAfter is sent with it if above 0.
	Status     int
	Code       string
	RetryAfter time.Duration
	// After is the number of content events before a cut, stall, break or garbled
	// event; -1 is half of them.
	After int
	// HeadersFirst sends the status line and headers before the latency instead of after it.
	HeadersFirst bool
	// Odds are the chances of each fate; what is left to 1 is Answered.
	Odds [fateCount]float64
}

// DefaultBehaviour answers everything at once and correctly.
func DefaultBehaviour() Behaviour {
	return Behaviour{ChunkTokens: 1, Burst: 1, Status: 500, After: halfway}
}

// Apply changes b by directives: comma-separated "key=value" pairs, where a fate
// without a value is certain ("cut" is "cut=1"). An error lists every mistake, and
// leaves b half changed.
//
//	latency=D gap=D     times, see ParseDistribution
//	rate=N              events per second: gap=1s/N
//	tokens=N chunk=N    length of the answer, tokens per event
//	burst=N             events per write
//	cached=N reasoning=N
//	status=N code=S retry_after=D
//	after=N             events before a cut, stall, break or garbled event
//	headers_first       headers before the latency
//	error cut stall break hang drop garbage html wrong_type no_usage   odds, 0 to 1
func (b *Behaviour) Apply(directives string) error {
	var errs []error
	for pair := range strings.SplitSeq(directives, ",") {
		pair = strings.TrimSpace(pair)
		if pair == "" {
			continue
		}
		key, value, hasValue := strings.Cut(pair, "=")
		if err := b.set(key, value, hasValue); err != nil {
			errs = append(errs, fmt.Errorf("directive %s: %w", strconv.Quote(key), err))
		}
	}
	sum := 0.0
	for _, odds := range b.Odds {
		sum += odds
	}
	if sum > 1+1e-9 {
		errs = append(errs, fmt.Errorf("the odds of all faults add up to %g; they must not be above 1", sum))
	}
	return errors.Join(errs...)
}

func (b *Behaviour) set(key, value string, hasValue bool) error {
	var err error
	switch key {
	case "latency":
		b.Latency, err = ParseDistribution(value)
	case "gap":
		b.Gap, err = ParseDistribution(value)
	case "rate":
		var perSecond int
		if perSecond, err = parseCount(value, 1, 1_000_000); err == nil {
			b.Gap = Distribution{low: time.Second / time.Duration(perSecond)}
		}
	case "tokens":
		b.Tokens, err = parseCount(value, 1, tokensMax)
	case "chunk":
		b.ChunkTokens, err = parseCount(value, 1, tokensMax)
	case "burst":
		b.Burst, err = parseCount(value, 1, 10_000)
	case "cached":
		b.CachedTokens, err = parseCount(value, 0, tokensMax)
	case "reasoning":
		b.ReasoningTokens, err = parseCount(value, 0, tokensMax)
	case "status":
		b.Status, err = parseCount(value, 400, 599)
	case "code":
		if strings.Trim(value, "abcdefghijklmnopqrstuvwxyz_") != "" {
			err = fmt.Errorf("%q must consist of a-z and _", value)
		}
		b.Code = value
	case "retry_after":
		b.RetryAfter, err = parseWait(value)
	case "after":
		b.After, err = parseCount(value, 0, tokensMax)
	case "headers_first":
		b.HeadersFirst = true
		if hasValue {
			b.HeadersFirst, err = strconv.ParseBool(value)
		}
	default:
		return b.setOdds(key, value, hasValue)
	}
	return err
}

func (b *Behaviour) setOdds(key, value string, hasValue bool) error {
	for f := Refused; f < fateCount; f++ {
		if key != fateNames[f] {
			continue
		}
		odds := 1.0
		if hasValue {
			var err error
			odds, err = strconv.ParseFloat(value, 64)
			// The comparison is written so that NaN fails it.
			if err != nil || !(odds >= 0 && odds <= 1) {
				return fmt.Errorf("%q is not a number between 0 and 1", value)
			}
		}
		b.Odds[f] = odds
		return nil
	}
	return errors.New("unknown; known are latency, gap, rate, tokens, chunk, burst, cached, reasoning, status, code, retry_after, after, headers_first, " +
		strings.Join(fateNames[Refused:], ", "))
}

func parseCount(s string, low, high int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%q is not a whole number from %d to %d", s, low, high)
	}
	return n, nil
}

// fate draws what becomes of a request.
func (b *Behaviour) fate(from *draws) Fate {
	u := from.float()
	for f := Refused; f < fateCount; f++ {
		if u < b.Odds[f] {
			return f
		}
		u -= b.Odds[f]
	}
	return Answered
}
