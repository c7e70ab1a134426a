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
	if err := r.p.denials.record(r, &denial); err != nil {
		denial = Denial{Error: apierror.Internal, Message: "The gateway could not record the call."}
	}
	r.p.metrics.denied(&denial)
	r.respondError(denial.Error, denial.text(), denial.Param, denial.RetryAfterMs)
	r.put()
}

// respondError fills the answer with an error in the dialect's shape.
func (r *Request) respondError(e *apierror.Error, message, param string, retryAfterMs uint64) {
	if message == "" {
		message = e.Message
	}
	resp := &r.ctx.Response
	resp.ResetBody()
	resp.SetStatusCode(e.Status)
	resp.Header.SetContentType("application/json")
	if retryAfterMs > 0 {
		resp.Header.Set("Retry-After", strconv.FormatUint((retryAfterMs+999)/1000, 10))
		resp.Header.Set("Retry-After-Ms", strconv.FormatUint(retryAfterMs, 10))
	}
	if e.NoRetry {
		resp.Header.Set("X-Should-Retry", "false")
	}
	r.setRequestID()
	resp.SetBodyRaw(openai.AppendError(nil, e, message, param, ""))
}

// serveBody answers with a body that the gateway made itself, as soon as that is recorded.
func (r *Request) serveBody(body []byte) {
	r.in = append(r.in[:0], body...)
	if err := r.p.Spool.Reserve(completionBytes); err != nil {
		r.refuse(r.deny(apierror.SpoolFull, "", ""))
		return
	}
	r.reserved = true
	r.out.kind, r.out.status, r.out.answerBytes = event.Outcome_OUTCOME_OK, 200, len(body)
	r.deliver("application/json")
}

// path returns the request's normalised path, valid during the call.
func (r *Request) path() string { return hot.StringOf(r.ctx.Path()) }
