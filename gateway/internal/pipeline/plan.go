package pipeline

import (
	"github.com/tallygate/tallygate/gateway/internal/apierror"
	"github.com/tallygate/tallygate/schemas/decide"
)

// plan says where the request may go, in order, and how large it may get.
func plan(r *Request) *Denial {
	if len(r.model.Targets) == 0 {
		return r.deny(apierror.NoTarget, "", "")
	}
	for i := range r.model.Targets {
		t := r.targets.next()
		t.Reset()
		t.Provider, t.Model = r.model.Targets[i].Provider, r.model.Targets[i].Model
	}
	r.facts.InputTokensEstimated = decide.InputTokens(len(r.llm.Body))
	r.facts.OutputTokensBound = decide.OutputTokens(r.llm.OutputTokensMax, r.model.DefaultOutputTokens, r.llm.Choices)
	return nil
}
