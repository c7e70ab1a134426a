package pipeline

import (
	"github.com/tallygate/tallygate/gateway/internal/dialect/openai"
)

// Bounds of what is kept of a client's words, in bytes.
const (
	modelMax     = 256
	endUserMax   = 128
	userAgentMax = 128
)

// parse reads the request's body.
func parse(r *Request) *Denial {
	body := r.ctx.Request.Body()
	r.facts.BodyBytes = uint64(len(body))
	if problem := openai.Parse(&r.llm, body); problem != nil {
		r.facts.Model = r.keep(r.llm.Model, modelMax)
		d := r.deny(problem.Error, "", problem.Message)
		d.Param = problem.Param
		return d
	}
	r.facts.Stream = r.llm.Stream
	r.facts.EndUser = r.keep(r.llm.EndUser, endUserMax)
	return nil
}
