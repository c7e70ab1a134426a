package pipeline

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/tallygate/tallygate/gateway/internal/apierror"
	"github.com/tallygate/tallygate/gateway/internal/llm"
	"github.com/tallygate/tallygate/gateway/internal/provider"
	"github.com/tallygate/tallygate/gateway/internal/upstream"
	"github.com/tallygate/tallygate/gateway/internal/view"
	"github.com/tallygate/tallygate/schemas/event"
)

// refusalMax bounds what is read of a provider's error body.
const refusalMax = 64 << 10

// failure is why the provider gave no answer, and what the client is told.
type failure struct {
	class        provider.Class
	err          *apierror.Error
	message      string
	param        string
	retryAfterMs uint64
}

// dispatch calls the targets in order until one answers, and answers the client.
func (r *Request) dispatch() {
	r.p.watcher.add(r)
	var last failure
	for i := range r.model.Targets {
		last = r.try(&r.model.Targets[i])
		if last.class == "" {
			return
		}
		if !movable(last.class) {
			break
		}
	}
	r.p.watcher.remove(r)
	r.fail(&last)
}

// movable says if another target may do better with the same request. Nothing
// has reached the client yet, or there would be no failure.
func movable(c provider.Class) bool {
	switch c {
	case provider.ClassConnect, provider.ClassTimeout, provider.ClassRateLimited, provider.ClassQuota,
		provider.ClassOverloaded, provider.ClassServer, provider.ClassAuth, provider.ClassNotFound,
		provider.ClassGarbage, provider.ClassCut:
		return true
	}
	return false
}

// try calls one target. A failure without a class means that the client was
// answered, or will be as the stream comes.
func (r *Request) try(t *view.Target) failure {
	up := t.Upstream
	a := r.startAttempt(t)
	call := &r.call
	call.Reset()
	r.llm.UpstreamModel = t.Model
	if err := up.API.Encode(&call.Request, &r.llm, up.BaseURL, up.Credential); err != nil {
		return r.endAttempt(a, nil, 0, failure{class: provider.ClassInvalid, err: apierror.Internal})
	}
	r.watch.Lock()
	r.calling = true
	r.watch.Unlock()
	if err := up.Pool.Do(call); err != nil {
		return r.endAttempt(a, nil, 0, r.failureOf(err))
	}
	a.FirstByteNs = uint64(max(call.FirstByteAt.Sub(call.StartedAt), 0))
	a.Status = uint32(call.Header.StatusCode())
	if id := call.Header.Peek("X-Request-Id"); len(id) > 0 {
		a.UpstreamRequestId = r.keep(id, 64)
	}
	if a.Status/100 != 2 {
		return r.refused(a, up.API)
	}
	if r.llm.Stream {
		return r.startStream(a, up.API)
	}
	return r.answer(a, up.API)
}

func (r *Request) startAttempt(t *view.Target) *attempt {
	r.out.target = t
	a := r.attempts.next()
	a.Reset()
	a.Provider, a.Model, a.Credential = t.Provider, t.Model, t.Upstream.CredentialID
	a.StartedAt = time.Now().UnixNano()
	return a
}

// endAttempt records how an attempt ended and gives its connection back.
func (r *Request) endAttempt(a *attempt, u *llm.Usage, outputBytes int, f failure) failure {
	var none llm.Usage
	if u == nil {
		u = &none
	}
	took := time.Duration(time.Now().UnixNano() - a.StartedAt)
	a.DurationNs = uint64(max(took, 0))
	sent := r.calling && r.call.Sent
	r.out.waited += took
	a.ErrorClass = string(f.class)
	r.settleAttempt(a, u, outputBytes, sent && billed(a, f.class, outputBytes))
	if r.calling {
		r.watch.Lock()
		r.calling = false
		r.watch.Unlock()
		r.call.Close()
	}
	return f
}

// billed says if the provider has probably done work that it will charge for: it
// answered, began to answer, or was at work when the client hung up.
func billed(a *attempt, class provider.Class, outputBytes int) bool {
	switch class {
	case provider.ClassClientClosed:
		return true
	case "", provider.ClassCut, provider.ClassTimeout:
		return a.Status/100 == 2
	}
	return a.Status/100 == 2 && outputBytes > 0
}

// refused reads a provider's error.
func (r *Request) refused(a *attempt, api provider.Provider) failure {
	_, err := r.readAll(refusalMax)
	if errors.Is(err, upstream.ErrAborted) {
		return r.endAttempt(a, nil, 0, r.failureOf(err))
	}
	e := api.DecodeError(int(a.Status), &r.call.Header, r.in)
	return r.endAttempt(a, nil, 0, failureSaid(e))
}

// answer reads a complete answer and gives it to the client.
func (r *Request) answer(a *attempt, api provider.Provider) failure {
	whole, err := r.readAll(r.p.Config.Gateway.Upstream.AnswerLimitBytes)
	if err != nil {
		return r.endAttempt(a, nil, 0, r.failureOf(err))
	}
	if !whole {
		// All of it was generated, and will be charged.
		return r.endAttempt(a, nil, len(r.in), failure{class: provider.ClassGarbage, err: apierror.UpstreamFailed,
			message: "The provider's answer is larger than gateway.upstream.answer_limit_bytes."})
	}
	got := &r.got
	*got = llm.Answer{}
	if err := api.Decode(got, r.in); err != nil {
		if e := (*provider.Error)(nil); errors.As(err, &e) {
			// An error under a 200.
			return r.endAttempt(a, nil, 0, failureSaid(e))
		}
		return r.endAttempt(a, nil, 0, failure{class: provider.ClassGarbage, err: apierror.UpstreamFailed,
			message: "The provider's answer is not of the form that its API promises."})
	}
	r.out.firstContent = r.call.FirstByteAt
	r.out.finish = r.keep(got.FinishReason, 32)
	r.endAttempt(a, &got.Usage, got.OutputBytes, failure{})
	r.p.watcher.remove(r)
	r.out.kind, r.out.status, r.out.answerBytes = event.Outcome_OUTCOME_OK, 200, len(r.in)
	r.deliver("application/json")
	return failure{}
}

// deliver settles, and then gives the answer in r.in to the client.
func (r *Request) deliver(contentType string) {
	if err := r.settle(); err != nil {
		r.forget()
		r.respondError(&notRecorded)
		r.put()
		return
	}
	r.keepAnswer(contentType, r.in)
	resp := &r.ctx.Response
	resp.SetStatusCode(r.out.status)
	resp.Header.SetContentType(contentType)
	r.setRequestID()
	r.in = resp.SwapBody(r.in)
	r.put()
}

// readAll reads the rest of the answer into r.in. whole is false if there is more than max.
func (r *Request) readAll(max int) (whole bool, err error) {
	r.in = r.in[:0]
	for {
		if len(r.in) == cap(r.in) {
			r.in = slices.Grow(r.in, 4096)
		}
		n, err := r.call.Read(r.in[len(r.in):cap(r.in)])
		r.in = r.in[:len(r.in)+n]
		if len(r.in) > max {
			r.in = r.in[:max]
			return false, nil
		}
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// fail answers a request that no target answered.
func (r *Request) fail(f *failure) {
	o := &r.out
	o.kind, o.status, o.code = event.Outcome_OUTCOME_UPSTREAM_ERROR, f.err.Status, f.err.Code
	switch f.class {
	case provider.ClassTimeout:
		o.kind = event.Outcome_OUTCOME_TIMEOUT
	case provider.ClassClientClosed:
		if f.err == apierror.Draining {
			o.kind = event.Outcome_OUTCOME_INTERNAL_ERROR
			break
		}
		// 499 as nginx has it: nobody will read it.
		o.kind, o.status, o.code = event.Outcome_OUTCOME_CLIENT_CLOSED, 499, ""
	case provider.ClassInvalid:
		if f.err == apierror.Internal {
			o.kind = event.Outcome_OUTCOME_INTERNAL_ERROR
		}
	}
	r.forget()
	d := &Denial{Error: f.err, Message: f.message, Param: f.param, RetryAfterMs: f.retryAfterMs}
	if err := r.settle(); err != nil {
		d = &notRecorded
	}
	r.respondError(d)
	r.put()
}

// failureOf understands an error of the connection to a provider.
func (r *Request) failureOf(err error) failure {
	if errors.Is(err, upstream.ErrAborted) {
		if r.p.watcher.cut.Load() {
			return failure{class: provider.ClassClientClosed, err: apierror.Draining}
		}
		return failure{class: provider.ClassClientClosed, err: apierror.UpstreamFailed}
	}
	if errors.Is(err, upstream.ErrSaturated) {
		return failure{class: provider.ClassConnect, err: apierror.Saturated}
	}
	class := provider.ClassServer
	if e := (*upstream.Error)(nil); errors.As(err, &e) {
		class = e.Class
	}
	return failure{class: class, err: clientError(class)}
}

// failureSaid is what a provider's own error comes to. Its words reach the client only
// where they are about the client's request: others name the account that all tenants
// share, its limits and what is used of them, or the provider's inside.
func failureSaid(e *provider.Error) failure {
	f := failure{class: e.Class, err: clientError(e.Class), retryAfterMs: e.RetryAfterMs}
	if e.Class == provider.ClassInvalid {
		f.message, f.param = e.Message, e.Param
	}
	return f
}

// clientError is what a client is told about a class of failure.
func clientError(c provider.Class) *apierror.Error {
	switch c {
	case provider.ClassTimeout:
		return apierror.UpstreamTimeout
	case provider.ClassRateLimited:
		return apierror.UpstreamRate
	case provider.ClassQuota:
		return apierror.UpstreamQuota
	case provider.ClassOverloaded:
		return apierror.UpstreamOverloaded
	case provider.ClassAuth:
		return apierror.UpstreamAuth
	case provider.ClassInvalid:
		return apierror.UpstreamInvalid
	case provider.ClassNotFound:
		return apierror.UpstreamModel
	}
	return apierror.UpstreamFailed
}

var eventStream = []byte("text/event-stream")

// isEventStream says if an answer is a stream.
func (r *Request) isEventStream() bool {
	return bytes.HasPrefix(r.call.Header.ContentType(), eventStream)
}
