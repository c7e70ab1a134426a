package pipeline

import (
	"log/slog"
	"runtime/debug"

	"github.com/tallygate/tallygate/gateway/internal/apierror"
	"github.com/tallygate/tallygate/schemas/event"
)

// recovered keeps a fault in one request from taking the others with it: the
// request ends with an internal error and its record. It is deferred.
func (r *Request) recovered() {
	fault := recover()
	if fault == nil {
		return
	}
	r.p.metrics.panics.Inc()
	r.p.Log.Error("a request failed by a fault of the gateway; please report it",
		slog.Any("fault", fault), slog.String("request_id", string(r.idText[:])), slog.String("stack", string(debug.Stack())))
	r.p.watcher.remove(r)
	switch {
	case r.finished:
	case r.admitted:
		r.out.kind, r.out.status, r.out.code = event.Outcome_OUTCOME_INTERNAL_ERROR, 500, apierror.Internal.Code
		_ = r.settle()
	default:
		r.release()
		_ = r.p.denials.record(r, &Denial{Error: apierror.Internal})
	}
	r.forget()
	// The request is not pooled again: nobody knows its state.
	r.respondError(&Denial{Error: apierror.Internal})
}
