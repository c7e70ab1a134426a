package pipeline

import (
	"fmt"
	"time"

	vm "github.com/VictoriaMetrics/metrics"

	"github.com/tallygate/tallygate/gateway/internal/apierror"
	"github.com/tallygate/tallygate/schemas/event"
)

// metrics are resolved once, at start: a request looks up no name. They are
// counters only, since a histogram of the library takes a lock.
type metrics struct {
	outcomes    map[event.Outcome]*vm.Counter
	denials     map[*apierror.Error]*vm.Counter
	durationNs  *vm.Counter
	overheadNs  *vm.Counter
	input       *vm.Counter
	output      *vm.Counter
	costNanos   *vm.Counter
	unpriced    *vm.Counter
	spoolErrors *vm.Counter
	panics      *vm.Counter
}

func (m *metrics) init() {
	m.outcomes = map[event.Outcome]*vm.Counter{}
	for n, name := range event.Outcome_name {
		m.outcomes[event.Outcome(n)] = vm.GetOrCreateCounter(fmt.Sprintf(`tallygate_requests_total{outcome=%q}`, outcomeLabel(name)))
	}
	m.denials = map[*apierror.Error]*vm.Counter{}
	for _, e := range apierror.All() {
		m.denials[e] = vm.GetOrCreateCounter(fmt.Sprintf(`tallygate_denials_total{code=%q}`, e.Code))
	}
	m.durationNs = vm.GetOrCreateCounter("tallygate_request_duration_nanoseconds_total")
	m.overheadNs = vm.GetOrCreateCounter("tallygate_request_overhead_nanoseconds_total")
	m.input = vm.GetOrCreateCounter(`tallygate_tokens_total{direction="input"}`)
	m.output = vm.GetOrCreateCounter(`tallygate_tokens_total{direction="output"}`)
	m.costNanos = vm.GetOrCreateCounter("tallygate_cost_nanodollars_total")
	m.unpriced = vm.GetOrCreateCounter("tallygate_unpriced_attempts_total")
	m.spoolErrors = vm.GetOrCreateCounter("tallygate_spool_append_errors_total")
	m.panics = vm.GetOrCreateCounter("tallygate_panics_total")
}

const outcomePrefix = "OUTCOME_"

// outcomeLabel turns OUTCOME_CLIENT_CLOSED into client_closed.
func outcomeLabel(name string) string {
	b := []byte(name[len(outcomePrefix):])
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func (m *metrics) completed(r *Request, at time.Time) {
	o := &r.out
	m.outcomes[o.kind].Inc()
	total := at.Sub(r.received)
	m.durationNs.AddInt64(int64(max(total, 0)))
	m.overheadNs.AddInt64(int64(max(total-o.waited, 0)))
	m.input.AddInt64(int64(o.usage.Input))
	m.output.AddInt64(int64(o.usage.Output))
	m.costNanos.AddInt64(o.costNanos)
}

func (m *metrics) denied(d *Denial) { m.denials[d.Error].Inc() }
