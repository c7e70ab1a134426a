package openai

import (
	"fmt"
	"math"

	"github.com/tallygate/tallygate/gateway/internal/llm"
	"github.com/tallygate/tallygate/gateway/internal/scan"
)

const (
	// modelMaxBytes is the longest name of a model.
	modelMaxBytes = 256
	// choicesMax is the most answers that one request can ask for, as at OpenAI.
	choicesMax = 128
	// outputTokensMax bounds what a client can ask for; no model gives as much.
	outputTokensMax = math.MaxInt32
)

func (p *parser) model() {
	if k := p.Kind(); k != scan.String {
		p.wrongType("model", "a string", k)
		p.Skip()
		return
	}
	start := p.Pos()
	name := p.Text()
	switch {
	case p.Failed():
		return
	case len(name) == 0:
		p.refuse("model", "Invalid 'model': empty string. Expected a string with minimum length 1, but got an empty string instead.")
		return
	case len(name) > modelMaxBytes:
		p.refuse("model", "Invalid 'model': string too long. Expected at most %d bytes, but got %d instead.", modelMaxBytes, len(name))
		return
	}
	p.req.Model, p.req.ModelAt = name, llm.Span{Start: start, End: p.Pos()}
}

func (p *parser) messages() {
	if k := p.Kind(); k != scan.Array {
		p.wrongType("messages", "an array of objects", k)
		p.Skip()
		return
	}
	i := 0
	if p.Enter(scan.Array) {
		for ; p.Element(); i++ {
			p.message(i)
		}
	}
	if i == 0 {
		p.refuse("messages", "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.")
	}
}

func (p *parser) message(i int) {
	if k := p.Kind(); k != scan.Object {
		p.wrongElement(i, "", "an object", k)
		p.Skip()
		return
	}
	role := false
	for ok := p.Enter(scan.Object); ok && p.Field(); {
		if string(p.Key()) == "role" {
			role = true
			if k := p.Kind(); k != scan.String {
				p.wrongElement(i, ".role", "a string", k)
			}
		}
		p.Skip()
	}
	if !role && p.problem == nil {
		param := fmt.Sprintf("messages[%d].role", i)
		p.refuse(param, "Missing required parameter: '%s'.", param)
	}
}

// wrongElement is wrongType for a message; it makes the name only if it is needed.
func (p *parser) wrongElement(i int, member, want string, got scan.Kind) {
	if p.problem == nil {
		p.wrongType(fmt.Sprintf("messages[%d]%s", i, member), want, got)
	}
}

func (p *parser) streamOptions() {
	k := p.Kind()
	if k != scan.Object {
		if k != scan.Null {
			p.wrongType("stream_options", "an object", k)
		}
		start, end := p.Skip()
		p.req.StreamOptionsAt = llm.Span{Start: start, End: end}
		return
	}
	start := p.Pos()
	for ok := p.Enter(scan.Object); ok && p.Field(); {
		if string(p.Key()) != "include_usage" {
			p.Skip()
			continue
		}
		if p.usageSeen {
			p.refuse("stream_options.include_usage", "Duplicate parameter: 'stream_options.include_usage'.")
		}
		p.usageSeen = true
		p.Kind()
		from := p.Pos()
		p.req.IncludeUsage = p.flag("stream_options.include_usage")
		p.req.IncludeUsageAt = llm.Span{Start: from, End: p.Pos()}
	}
	p.req.StreamOptionsAt = llm.Span{Start: start, End: p.Pos()}
}

// flag reads a boolean; null is false.
func (p *parser) flag(param string) bool {
	if k := p.Kind(); k != scan.True && k != scan.False && k != scan.Null {
		p.wrongType(param, "a boolean", k)
	}
	return p.Bool()
}

// outputMax reads max_tokens or max_completion_tokens, of which one may be there.
func (p *parser) outputMax(param string) {
	v, ok := p.count(param, outputTokensMax)
	if !ok {
		return
	}
	if p.req.OutputTokensMax != 0 {
		p.refuse(param, "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.")
		return
	}
	p.req.OutputTokensMax = v
}

// count reads a whole number from 1 to most; ok is false for null and after a refusal.
func (p *parser) count(param string, most uint64) (v uint64, ok bool) {
	k := p.Kind()
	if k != scan.Number {
		if k != scan.Null {
			p.wrongType(param, "an integer", k)
		}
		p.Skip()
		return 0, false
	}
	start := p.Pos()
	v, ok = p.Uint()
	text := p.req.Body[start:p.Pos()]
	switch {
	case p.Failed():
		return 0, false
	case ok && v >= 1 && v <= most:
		return v, true
	case ok && v == 0 || text[0] == '-':
		p.refuse(param, "Invalid '%s': integer below minimum value. Expected a value >= 1, but got %.32s instead.", param, text)
	case ok:
		p.refuse(param, "Invalid '%s': integer above maximum value. Expected a value <= %d, but got %d instead.", param, most, v)
	default:
		p.refuse(param, "Invalid '%s': expected a whole number from 1 to %d, but got %.32s instead.", param, most, text)
	}
	return 0, false
}

func (p *parser) user() {
	if k := p.Kind(); k != scan.String {
		if k != scan.Null {
			p.wrongType("user", "a string", k)
		}
		p.Skip()
		return
	}
	p.req.EndUser = p.Text()
}
