// Package price knows what models cost. A List is made once, from the built-in
// prices or from a file; a Series is resolved per target when a policy snapshot is
// built; a request only picks a Price and multiplies. Money is in whole
// nano-dollars throughout: no float is involved.
package price

import (
	"math"
	"math/bits"
	"slices"
)

// Price is what a model costs: nano-dollars per million tokens, never negative.
type Price struct {
	Input, CacheRead, CacheWrite5m, CacheWrite1h, Output int64
}

// Usage counts the tokens of one call.
type Usage struct {
	// Input is all prompt tokens; the three cache counts are parts of it.
	Input, CacheRead, CacheWrite5m, CacheWrite1h uint64
	Output                                       uint64
}

// tokensPerUnit is how many tokens a Price is for.
const tokensPerUnit = 1_000_000

// Cost returns what a call costs in nano-dollars, rounded half-up, once. A cost
// that no int64 holds is math.MaxInt64. Where a provider reports more cached
// tokens than input, its input count is taken to leave them out.
func (p *Price) Cost(u Usage) int64 {
	uncached := u.Input
	if cached, carry := sum3(u.CacheRead, u.CacheWrite5m, u.CacheWrite1h); carry == 0 && cached <= u.Input {
		uncached -= cached
	}
	var t total
	t.add(uncached, p.Input)
	t.add(u.CacheRead, p.CacheRead)
	t.add(u.CacheWrite5m, p.CacheWrite5m)
	t.add(u.CacheWrite1h, p.CacheWrite1h)
	t.add(u.Output, p.Output)
	return t.divide(tokensPerUnit / 2)
}

// Hold returns a bound on what a call with so many tokens costs, in nano-dollars,
// rounded up: every input token is taken at the dearest of the input prices, since
// how many will be written to a cache is not known before the call. A bound that no
// int64 holds is math.MaxInt64.
func (p *Price) Hold(inputTokens, outputTokens uint64) int64 {
	var t total
	t.add(inputTokens, max(p.Input, p.CacheRead, p.CacheWrite5m, p.CacheWrite1h))
	t.add(outputTokens, p.Output)
	return t.divide(tokensPerUnit - 1)
}

// sum3 adds three counts; carry is not zero if the sum does not fit.
func sum3(a, b, c uint64) (sum, carry uint64) {
	sum, first := bits.Add64(a, b, 0)
	sum, second := bits.Add64(sum, c, 0)
	return sum, first + second
}

// total is a sum of tokens times prices in 128 bits; over says that it did not fit.
type total struct {
	hi, lo uint64
	over   bool
}

func (t *total) add(tokens uint64, price int64) {
	if price < 0 {
		panic("BUG: a price is negative")
	}
	hi, lo := bits.Mul64(tokens, uint64(price))
	var carry uint64
	t.lo, carry = bits.Add64(t.lo, lo, 0)
	t.hi, carry = bits.Add64(t.hi, hi, carry)
	t.over = t.over || carry > 0
}

// divide returns (t + round) / tokensPerUnit, or math.MaxInt64 if that does not fit.
func (t *total) divide(round uint64) int64 {
	lo, carry := bits.Add64(t.lo, round, 0)
	hi, over := bits.Add64(t.hi, 0, carry)
	if t.over || over > 0 || hi >= tokensPerUnit {
		return math.MaxInt64
	}
	q, _ := bits.Div64(hi, lo, tokensPerUnit)
	return int64(min(q, math.MaxInt64))
}

// Series is one model's prices over time and prompt length. It never changes.
type Series struct {
	periods []period
}

// period is a span of time with its prices; end excluded. Nanoseconds since the
// Unix epoch.
type period struct {
	from, until int64
	// tiers are in falling order of above; the last one's is zero.
	tiers []tier
}

// tier is a price for whole requests whose input has more tokens than above, or
// any input for the base tier.
type tier struct {
	above uint64
	base  bool
	price Price
}

// At returns the price of a request by its moment, in nanoseconds since the Unix
// epoch, and the length of its prompt, cached tokens included; nil if none is known
// for that moment. It does not allocate.
func (s *Series) At(nanos int64, inputTokens uint64) *Price {
	// The latest period stands last and is nearly always the one.
	for i := len(s.periods) - 1; i >= 0; i-- {
		p := &s.periods[i]
		if nanos < p.from {
			continue
		}
		if nanos >= p.until {
			return nil
		}
		for j := range p.tiers {
			if t := &p.tiers[j]; t.base || inputTokens > t.above {
				return &t.price
			}
		}
	}
	return nil
}

// Model says what is known of a model apart from its prices.
type Model struct {
	Provider, Name string
	// ContextTokens and MaxOutputTokens are zero where they are not known.
	ContextTokens, MaxOutputTokens uint64
}

// List is a set of prices. It never changes.
type List struct {
	version string
	// byProvider holds series by provider and by the name sent upstream.
	byProvider map[string]map[string]*Series
	// byName holds the series of names that only one provider has; nil for the others.
	byName map[string]*Series
	models []Model
}

// Version names the list in events: what the file declares, and a part of its digest.
func (l *List) Version() string { return l.version }

// Models lists the priced models, by provider and name.
func (l *List) Models() []Model { return slices.Clone(l.models) }

// Series returns the prices of a provider's model, or nil if it has none. It is
// meant for the building of snapshots: it allocates. See candidates for the
// spellings under which a model is found.
func (l *List) Series(provider, model string) *Series {
	names, known := l.byProvider[provider]
	if !known {
		// A provider under a name of the installation's own.
		names = l.byName
	}
	for _, name := range candidates(provider, model) {
		if s := names[name]; s != nil {
			return s
		}
	}
	return nil
}
