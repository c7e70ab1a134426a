package pipeline

import (
	"fmt"
	"strings"

	"github.com/tallygate/tallygate/gateway/internal/apierror"
	"github.com/tallygate/tallygate/gateway/internal/dialect/openai"
)

// models lists the models that the calling key may use.
func (r *Request) models() { r.serveBody(r.key.ModelList) }

// oneModel shows one of them.
func (r *Request) oneModel() {
	id := strings.TrimPrefix(r.path(), Models.Route+"/")
	m := r.key.Model([]byte(id))
	if m == nil {
		r.facts.Model = r.keep([]byte(id), modelMax)
		r.refuse(r.deny(apierror.ModelNotFound, "", fmt.Sprintf("The model %q does not exist or this key may not use it.", r.facts.Model)))
		return
	}
	r.facts.Model = m.ID
	r.serveBody(openai.AppendModel(nil, m.ID, m.CreatedAt))
}
