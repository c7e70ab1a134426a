package pipeline

import (
	"fmt"

	"github.com/tallygate/tallygate/gateway/internal/apierror"
)

// authorize ends a request for a model that the key may not use. A model that
// does not exist gets the same answer, so that nobody learns what others have.
func authorize(r *Request) *Denial {
	r.model = r.key.Model(r.llm.Model)
	if r.model != nil {
		r.facts.Model = r.model.ID
		return nil
	}
	r.facts.Model = r.keep(r.llm.Model, modelMax)
	d := r.deny(apierror.ModelNotFound, "", fmt.Sprintf("The model %q does not exist or this key may not use it.", r.facts.Model))
	d.Param = "model"
	return d
}
