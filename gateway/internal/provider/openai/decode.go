package openai

import (
	"errors"
	"fmt"

	"github.com/valyala/fasthttp"

	"github.com/tallygate/tallygate/gateway/internal/llm"
	"github.com/tallygate/tallygate/gateway/internal/scan"
)

var (
	errNoChoices = errors.New("the answer has no array of choices")
	errNoObject  = errors.New("the JSON is not an object")
)

// Decode implements provider.Provider. Some providers send blank lines before the
// body while they think; those are JSON's blanks.
func (p *Provider) Decode(out *llm.Answer, body []byte) error {
	*out = llm.Answer{}
	var r scan.Reader
	r.ResetLax(body)
	var standard, groq tokens
	choices, failed := false, false
	if k := r.Kind(); k != scan.Object && k != scan.None {
		return errNoObject
	}
	for ok := r.Enter(scan.Object); ok && r.Field(); {
		switch string(r.Key()) {
		case "choices":
			if r.Kind() != scan.Array {
				r.Skip()
				continue
			}
			c, _ := readChoices(&r)
			choices, out.FinishReason, out.OutputBytes = true, c.finish, c.bytes
		case "model":
			out.Model = sane(r.Text(), modelMaxBytes)
		case "usage":
			standard = readUsage(&r)
		case "x_groq":
			groq = readGroq(&r)
		case "error":
			failed = failed || r.Kind() != scan.Null
			r.Skip()
		default:
			r.Skip()
		}
	}
	r.End()
	if err := r.Err(); err != nil {
		return fmt.Errorf("cannot read the answer as JSON: %w", err)
	}
	if failed {
		var none fasthttp.ResponseHeader
		return p.DecodeError(fasthttp.StatusOK, &none, body)
	}
	if !choices {
		return errNoChoices
	}
	groq.apply(&out.Usage)
	standard.apply(&out.Usage)
	return nil
}

// readGroq takes Groq's own object, whose usage says the same as the standard one.
func readGroq(r *scan.Reader) (t tokens) {
	if r.Kind() != scan.Object {
		r.Skip()
		return t
	}
	for ok := r.Enter(scan.Object); ok && r.Field(); {
		if string(r.Key()) == "usage" {
			t = readUsage(r)
		} else {
			r.Skip()
		}
	}
	return t
}
