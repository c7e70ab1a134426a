package simulator

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// waitMax bounds every simulated wait, so that a long tail cannot hold a
// connection for ever.
const waitMax = 10 * time.Minute

// zP99 is the 99th percentile of the standard normal distribution.
const zP99 = 2.3263478740408408

// Distribution says how long something takes. The zero value is no time at all.
type Distribution struct {
	shape shape
	// low and high are the bounds of a uniform distribution, or the median and
	// the 99th percentile of a log-normal one. A fixed one uses low only.
	low, high time.Duration
}

type shape uint8

const (
	fixed shape = iota
	uniform
	lognormal
)

// ParseDistribution reads one of
//
//	50ms          always 50 ms
//	20ms..80ms    uniform between the two
//	50ms~400ms    log-normal with that median and that 99th percentile
func ParseDistribution(s string) (Distribution, error) {
	var d Distribution
	low, high := s, ""
	if a, b, ok := strings.Cut(s, ".."); ok {
		d.shape, low, high = uniform, a, b
	} else if a, b, ok := strings.Cut(s, "~"); ok {
		d.shape, low, high = lognormal, a, b
	}
	var err error
	if d.low, err = parseWait(low); err != nil {
		return Distribution{}, err
	}
	if d.shape == fixed {
		return d, nil
	}
	if d.high, err = parseWait(high); err != nil {
		return Distribution{}, err
	}
	if d.high < d.low {
		return Distribution{}, fmt.Errorf("%q: the second time must not be below the first", s)
	}
	if d.shape == lognormal && d.low == 0 {
		return Distribution{}, fmt.Errorf("%q: the median must be above 0", s)
	}
	return d, nil
}

func parseWait(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a time such as 50ms, 20ms..80ms (uniform) or 50ms~400ms (median~p99)", s)
	}
	if d < 0 || d > waitMax {
		return 0, fmt.Errorf("%q is outside 0s to %s", s, waitMax)
	}
	return d, nil
}

// String returns the form that ParseDistribution reads.
func (d Distribution) String() string {
	switch d.shape {
	case uniform:
		return d.low.String() + ".." + d.high.String()
	case lognormal:
		return d.low.String() + "~" + d.high.String()
	default:
		return d.low.String()
	}
}

// IsZero reports whether every draw is zero.
func (d Distribution) IsZero() bool { return d.low == 0 && d.high == 0 }

// Draw takes one value, between 0 and waitMax.
func (d Distribution) Draw(from *draws) time.Duration {
	switch d.shape {
	case uniform:
		return d.low + time.Duration(from.float()*float64(d.high-d.low))
	case lognormal:
		sigma := math.Log(float64(d.high)/float64(d.low)) / zP99
		return min(time.Duration(float64(d.low)*math.Exp(sigma*from.normal())), waitMax)
	default:
		return d.low
	}
}

// draws is a splitmix64 generator: a sequence that depends on its seed only, on
// every machine and in every version.
type draws struct{ state uint64 }

// drawsFor returns the generator of the n-th request under a seed.
func drawsFor(seed, n uint64) draws {
	d := draws{state: seed}
	d.state = d.next() ^ n
	d.next()
	return d
}

func (d *draws) next() uint64 {
	d.state += 0x9e3779b97f4a7c15
	return mix(d.state)
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// float returns a number in [0, 1).
func (d *draws) float() float64 { return float64(d.next()>>11) / (1 << 53) }

// normal returns a number from the standard normal distribution (Box–Muller).
func (d *draws) normal() float64 {
	radius := math.Sqrt(-2 * math.Log(1-d.float()))
	return radius * math.Cos(2*math.Pi*d.float())
}
