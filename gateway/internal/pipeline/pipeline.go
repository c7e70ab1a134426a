// Package pipeline is the way of a request: an ordered list of stages, the call to
// the provider, and the record. See gateway/DESIGN.md.
package pipeline

import (
	"log/slog"
	"sync/atomic"

	"github.com/valyala/fasthttp"

	"github.com/tallygate/tallygate/gateway/internal/apierror"
	"github.com/tallygate/tallygate/gateway/internal/spool"
	"github.com/tallygate/tallygate/gateway/internal/view"
	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/key"
	"github.com/tallygate/tallygate/schemas/price"
)

// Options are what a pipeline works with.
type Options struct {
	Config   *config.Config
	Digester *key.Digester
	Spool    *spool.Spool
	Prices   *price.List
	Log      *slog.Logger
}

// Pipeline takes requests from the server through the stages. One serves the whole process.
type Pipeline struct {
	Options
	view        atomic.Pointer[view.View]
	ready       atomic.Bool
	draining    atomic.Bool
	watcher     watcher
	denials     denials
	idempotency *idempotency
	metrics     metrics
}

// New returns a pipeline. It answers 503 until it has a view and SetReady was called.
func New(o Options) *Pipeline {
	p := &Pipeline{Options: o}
	p.idempotency = newIdempotency(&o.Config.Gateway.Idempotency)
	p.denials.p = p
	p.metrics.init()
	return p
}

// SetView makes requests from now on decide by v.
func (p *Pipeline) SetView(v *view.View) { p.view.Store(v) }

// View returns the view that requests decide by, or nil.
func (p *Pipeline) View() *view.View { return p.view.Load() }

// SetReady says that the balances have been read: requests can be decided on.
func (p *Pipeline) SetReady() { p.ready.Store(true) }

// Ready says if requests are taken.
func (p *Pipeline) Ready() bool { return p.ready.Load() && p.view.Load() != nil && !p.draining.Load() }

// SetDraining makes new requests get 503: another replica will answer them.
func (p *Pipeline) SetDraining() { p.draining.Store(true) }

// Cut ends the calls that are running, for a process that can wait for them no
// longer. They are answered with an error, billed by what was forwarded, and recorded.
func (p *Pipeline) Cut() { p.watcher.cut.Store(true) }

// Run does what must be done in the background, until stop is closed: it looks
// for clients that hung up, and writes counted denials each second.
func (p *Pipeline) Run(stop <-chan struct{}) {
	go p.watcher.run(stop)
	p.denials.run(stop)
}

// Operation is what a route serves.
type Operation struct {
	// Name stands in events and metrics.
	Name string
	// Route is the path's template.
	Route string
	serve func(r *Request)
	// refused is what the operation always answers, or nil.
	refused *apierror.Error
}

// Serve takes one request all the way. The answer is in ctx when it returns,
// except for the body of a stream.
func (p *Pipeline) Serve(ctx *fasthttp.RequestCtx, op *Operation) {
	r := p.get(ctx)
	defer r.recovered()
	r.facts.Operation, r.facts.Route, r.facts.Dialect = op.Name, op.Route, "openai"
	if d := r.enter(op); d != nil {
		r.refuse(d)
		return
	}
	op.serve(r)
}

// enter runs the stages that every operation passes.
func (r *Request) enter(op *Operation) *Denial {
	if d := available(r); d != nil {
		return d
	}
	if d := authenticate(r); d != nil {
		return d
	}
	if op.refused != nil {
		return r.deny(op.refused, "", "")
	}
	return limit(r)
}

// chat is a chat completion. This is the order of things.
func (r *Request) chat() {
	for _, stage := range [...]func(*Request) *Denial{
		parse,
		authorize,
		plan,
		replay,
		tokens,
		reserve,
	} {
		if d := stage(r); d != nil {
			r.refuse(d)
			return
		}
		if r.out.kind != 0 {
			// The stage gave the answer.
			r.deliver(r.contentType)
			return
		}
	}
	if d := r.admit(); d != nil {
		r.refuse(d)
		return
	}
	r.dispatch()
}

// Reject answers and records what could not even be read as a request.
func (p *Pipeline) Reject(ctx *fasthttp.RequestCtx, e *apierror.Error, message string) {
	r := p.get(ctx)
	defer r.recovered()
	r.facts.Operation = NoRoute.Name
	r.refuse(r.deny(e, "", message))
}

// Draining says that the process is going away.
func (p *Pipeline) Draining() bool { return p.draining.Load() }
