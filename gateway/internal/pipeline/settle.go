package pipeline

import (
	"time"

	"github.com/tallygate/tallygate/gateway/internal/llm"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/price"
)

// bytesPerToken is the estimate for output of which the provider reported nothing.
const bytesPerToken = 4

// settleAttempt prices one attempt by what the provider reported, or by what was
// forwarded where it reported too little.
func (r *Request) settleAttempt(a *attempt, u *llm.Usage, outputBytes int, billed bool) {
	if !billed {
		return
	}
	usage, source := credible(*u), event.UsageSource_USAGE_SOURCE_REPORTED
	if !usage.Complete() {
		source = event.UsageSource_USAGE_SOURCE_ESTIMATED
		if usage.Known&llm.KnownInput == 0 {
			usage.Input = r.facts.InputTokensEstimated
		}
		if usage.Known&llm.KnownOutput == 0 {
			usage.Output = uint64(outputBytes+bytesPerToken-1) / bytesPerToken
		}
	}
	fillUsage(&a.usage, &usage, source)
	a.Usage = &a.usage
	if t := r.out.target; t.Prices != nil {
		if p := t.Prices.At(r.now, usage.Input); p != nil {
			a.CostNanos = p.Cost(price.Usage{
				Input: usage.Input, CacheRead: usage.CacheRead, CacheWrite5m: usage.CacheWrite5m,
				CacheWrite1h: usage.CacheWrite1h, Output: usage.Output,
			})
			a.Priced = true
			pr := &a.prices
			pr.Input, pr.CacheRead, pr.CacheWrite_5M, pr.CacheWrite_1H, pr.Output = p.Input, p.CacheRead, p.CacheWrite5m, p.CacheWrite1h, p.Output
			pr.Version = r.p.Prices.Version()
			a.Prices = pr
		}
	}
	if !a.Priced {
		r.p.metrics.unpriced.Inc()
	}
	o := &r.out
	o.usage.Input += usage.Input
	o.usage.CacheRead += usage.CacheRead
	o.usage.CacheWrite5m += usage.CacheWrite5m
	o.usage.CacheWrite1h += usage.CacheWrite1h
	o.usage.Output += usage.Output
	o.usage.Reasoning += usage.Reasoning
	o.source = max(o.source, source)
	o.costNanos += a.CostNanos
}

// tokensMax is the most tokens of a kind that one call is believed to have used.
// Sums over many calls must never run over, whatever a provider says.
const tokensMax = 1 << 31

// credible takes counts that cannot be for not reported.
func credible(u llm.Usage) llm.Usage {
	if u.Input > tokensMax {
		u.Input, u.CacheRead, u.CacheWrite5m, u.CacheWrite1h = 0, 0, 0, 0
		u.Known &^= llm.KnownInput | llm.KnownCacheRead | llm.KnownCacheWrite
	}
	if u.Output > tokensMax {
		u.Output, u.Reasoning = 0, 0
		u.Known &^= llm.KnownOutput | llm.KnownReasoning
	}
	return u
}

func fillUsage(dst *event.Usage, u *llm.Usage, source event.UsageSource) {
	dst.Reset()
	dst.Source, dst.Input, dst.Output, dst.Reasoning = source, u.Input, u.Output, u.Reasoning
	dst.CacheRead, dst.CacheWrite_5M, dst.CacheWrite_1H = u.CacheRead, u.CacheWrite5m, u.CacheWrite1h
}

// settle replaces the request's holds and tokens by what was spent, and writes its
// final record. It is called once, on every way out; after it the last bytes of
// the answer may leave. An error says that the record could not be written.
func (r *Request) settle() error {
	r.finished = true
	for _, h := range r.holds {
		h.window.Settle(h.amount, r.out.costNanos)
	}
	if r.tokensTaken > 0 {
		r.settleTokens(r.out.usage.Input + r.out.usage.Output)
	}
	at := time.Now()
	err := r.recordCompleted(at)
	r.releaseSpool()
	r.p.metrics.completed(r, at)
	return err
}
