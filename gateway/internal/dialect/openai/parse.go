// Package openai is what OpenAI clients speak: chat completion requests, answers,
// streams, errors and the list of models, such that the official SDKs understand them.
package openai

import (
	"bytes"
	"fmt"

	"github.com/tallygate/tallygate/gateway/internal/apierror"
	"github.com/tallygate/tallygate/gateway/internal/llm"
	"github.com/tallygate/tallygate/gateway/internal/scan"
)

// Problem is why a request is refused, in words for the client.
type Problem struct {
	Error   *apierror.Error
	Message string
	// Param is the field, as in messages[0].role; empty if it is none.
	Param string
}

// Parse reads a chat completion request in one pass over body into req, and keeps
// body. Fields that it does not know pass. A field that it acts on must not come
// twice, nor in other letter case: the provider's parser might take the other one,
// and the call would not be the one that was authorised.
func Parse(req *llm.Request, body []byte) *Problem {
	*req = llm.Request{Wire: llm.OpenAIChat, Body: body, Choices: 1}
	if len(bytes.TrimSpace(body)) == 0 {
		return &Problem{Error: apierror.NotJSON, Message: "The request body is empty; send a JSON object."}
	}
	p := parser{req: req}
	p.Reset(body)
	if k := p.Kind(); k == scan.Object {
		for ok := p.Enter(k); ok && p.Field(); {
			p.field()
		}
	} else {
		p.wrongType("", "an object", k)
		p.Skip()
	}
	p.End()
	if err := p.Err(); err != nil {
		return &Problem{Error: apierror.NotJSON, Message: "We could not parse the JSON body of your request: " + err.Error() + "."}
	}
	p.check()
	return p.problem
}

// parser is one pass over a body.
type parser struct {
	scan.Reader
	req  *llm.Request
	seen field
	// usageSeen says that stream_options.include_usage was there.
	usageSeen bool
	// problem is the first one. It yields to mistakes in the JSON itself.
	problem *Problem
}

// field is a bit for each field that is acted on.
type field uint16

const (
	fieldModel field = 1 << iota
	fieldMessages
	fieldStream
	fieldStreamOptions
	fieldMaxTokens
	fieldMaxCompletionTokens
	fieldN
	fieldUser
)

// names lists the fields that are acted on.
var names = [...]struct {
	name string
	bit  field
}{
	{"model", fieldModel}, {"messages", fieldMessages}, {"stream", fieldStream}, {"stream_options", fieldStreamOptions},
	{"max_tokens", fieldMaxTokens}, {"max_completion_tokens", fieldMaxCompletionTokens}, {"n", fieldN}, {"user", fieldUser},
}

// lookup finds the field of a name. exact is false if the name differs in letter case.
func lookup(key []byte) (f field, exact bool) {
	for i := range names {
		n := &names[i]
		if string(key) == n.name {
			return n.bit, true
		}
		// Folded names can be longer in bytes: ſ and K fold to s and k.
		if len(key) >= len(n.name) && len(key) <= 3*len(n.name) && bytes.EqualFold(key, []byte(n.name)) {
			return n.bit, false
		}
	}
	return 0, true
}

// field reads one field of the request.
func (p *parser) field() {
	f, exact := lookup(p.Key())
	switch {
	case f == 0:
		p.Skip()
		return
	case !exact:
		p.refuse(string(p.Key()), "Unknown parameter: '%s'. Parameter names are lower case.", p.Key())
		p.Skip()
		return
	case p.seen&f != 0:
		p.refuse(string(p.Key()), "Duplicate parameter: '%s'.", p.Key())
		p.Skip()
		return
	}
	p.seen |= f
	switch f {
	case fieldModel:
		p.model()
	case fieldMessages:
		p.messages()
	case fieldStream:
		p.req.Stream = p.flag("stream")
	case fieldStreamOptions:
		p.streamOptions()
	case fieldMaxTokens:
		p.outputMax("max_tokens")
	case fieldMaxCompletionTokens:
		p.outputMax("max_completion_tokens")
	case fieldN:
		if v, ok := p.count("n", choicesMax); ok {
			p.req.Choices = v
		}
	case fieldUser:
		p.user()
	}
}

// check is for what can be known only at the end.
func (p *parser) check() {
	req := p.req
	if p.seen&fieldModel == 0 {
		p.refuse("model", "Missing required parameter: 'model'.")
	}
	if p.seen&fieldMessages == 0 {
		p.refuse("messages", "Missing required parameter: 'messages'.")
	}
	if !req.StreamOptionsAt.IsZero() && !req.Stream && req.Body[req.StreamOptionsAt.Start] == '{' {
		p.refuse("stream_options", "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
	}
}

// refuse notes a problem, unless there is one.
func (p *parser) refuse(param, format string, args ...any) {
	if p.problem == nil && !p.Failed() {
		p.problem = &Problem{Error: apierror.BadRequest, Message: fmt.Sprintf(format, args...), Param: param}
	}
}

// wrongType refuses a value for its kind.
func (p *parser) wrongType(param, want string, got scan.Kind) {
	if param == "" {
		p.refuse("", "Invalid type for the request body: expected %s, but got %s instead.", want, got)
		return
	}
	p.refuse(param, "Invalid type for '%s': expected %s, but got %s instead.", param, want, got)
}
