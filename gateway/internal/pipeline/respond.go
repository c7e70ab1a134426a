package pipeline

import (
	"strconv"

	"github.com/tallygate/tallygate/gateway/internal/apierror"
	"github.com/tallygate/tallygate/gateway/internal/dialect/openai"
	"github.com/tallygate/tallygate/gateway/internal/hot"
	"github.com/tallygate/tallygate/schemas/event"
)

func (r *Request) setRequestID() {
	r.ctx.Response.Header.SetBytesV("X-Request-Id", r.idText[:])
}

// refuse answers and records a request that a stage ended.
func (r *Request) refuse(d *Denial) {
	r.release()
	r.finished = true
	denial := *d
	// A spool that takes nothing takes no record of that either.
	if err := r.p.denials.record(r, &denial); err != nil && denial.Error != apierror.SpoolFull {
		denial = notRecorded
	}
	r.p.metrics.denied(&denial)
	r.respondError(&denial)
	r.put()
}

// notRecorded is what a client gets when the record of its answer is not safe:
// without it the answer may not leave.
var notRecorded = Denial{Error: apierror.Internal, Message: "The gateway could not record the call."}

// respondError fills the answer with an error in the dialect's shape.
func (r *Request) respondError(d *Denial) {
	e, resp := d.Error, &r.ctx.Response
	resp.ResetBody()
	resp.SetStatusCode(e.Status)
	resp.Header.SetContentType("application/json")
	if d.RetryAfterMs > 0 {
		resp.Header.Set("Retry-After", strconv.FormatUint((d.RetryAfterMs+999)/1000, 10))
		resp.Header.Set("Retry-After-Ms", strconv.FormatUint(d.RetryAfterMs, 10))
	}
	if e.NoRetry {
		resp.Header.Set("X-Should-Retry", "false")
	}
	r.setRequestID()
	resp.SetBodyRaw(openai.AppendError(nil, e, d.Message, d.Param, d.Rule))
}

// serveBody answers with a body that the gateway made itself, as soon as that is recorded.
func (r *Request) serveBody(body []byte) {
	r.in = append(r.in[:0], body...)
	if err := r.p.Spool.Reserve(recordBytes); err != nil {
		r.refuse(r.deny(apierror.SpoolFull, "", ""))
		return
	}
	r.reserved = true
	r.out.kind, r.out.status, r.out.answerBytes = event.Outcome_OUTCOME_OK, 200, len(body)
	r.deliver("application/json")
}

// path returns the request's normalised path, valid during the call.
func (r *Request) path() string { return hot.StringOf(r.ctx.Path()) }
