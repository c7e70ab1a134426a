package pipeline

import (
	"errors"
	"log/slog"
	"runtime/debug"

	"github.com/tallygate/tallygate/gateway/internal/apierror"
	"github.com/tallygate/tallygate/gateway/internal/provider"
	"github.com/tallygate/tallygate/schemas/event"
)

// recovered keeps a fault in one request from taking the others with it: the
// request ends with an internal error and its record. It is deferred.
func (r *Request) recovered() {
	if fault := recover(); fault != nil {
		r.faulted(fault)
		r.respondError(&Denial{Error: apierror.Internal})
	}
}

var errFault = errors.New("the request failed by a fault of the gateway")

// recovered is the same for a stream that has begun: the server calls it outside
// of Serve. The connection is closed in the middle of the answer.
func (s *stream) recovered(err *error) {
	if fault := recover(); fault != nil {
		s.r.faulted(fault)
		s.open, s.over = false, true
		*err = errFault
	}
}

// faulted ends a request that panicked, without an answer. It is not pooled again:
// nobody knows its state.
func (r *Request) faulted(fault any) {
	r.p.metrics.panics.Inc()
	r.p.Log.Error("a request failed by a fault of the gateway; please report it",
		slog.Any("fault", fault), slog.String("request_id", string(r.idText[:])), slog.String("stack", string(debug.Stack())))
	r.p.watcher.remove(r)
	if r.calling {
		// Faults in a call come from what the provider sent. The connection is not used again.
		r.call.Abort()
		all := r.attempts.all()
		r.endAttempt(all[len(all)-1], nil, r.stream.outputBytes, failure{class: provider.ClassGarbage})
	}
	switch {
	case r.finished:
	case r.admitted:
		r.out.kind, r.out.status, r.out.code = event.Outcome_OUTCOME_INTERNAL_ERROR, 500, apierror.Internal.Code
		_ = r.settle()
	default:
		r.release()
		_ = r.p.denials.record(r, &Denial{Error: apierror.Internal})
	}
	r.releaseSpool()
	r.forget()
}
