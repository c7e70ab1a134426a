// Package openai speaks OpenAI's chat completions to OpenAI and to the many
// providers that speak the same.
package openai

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"github.com/tallygate/tallygate/gateway/internal/llm"
	"github.com/tallygate/tallygate/gateway/internal/provider"
	"github.com/tallygate/tallygate/gateway/internal/scan"
)

// Provider is OpenAI's chat completions API.
type Provider struct{}

// New returns the API.
func New() *Provider { return &Provider{} }

// Name implements provider.Provider.
func (*Provider) Name() string { return "openai" }

// NewDecoder implements provider.Provider.
func (*Provider) NewDecoder() provider.Decoder { return getDecoder() }

// Encode implements provider.Provider. The body is the client's, byte for byte, but
// for the model's name and, in streams, the wish for usage. Of the client's headers
// nothing goes along.
func (*Provider) Encode(up *fasthttp.Request, req *llm.Request, baseURL string, cred provider.Credential) error {
	up.Header.SetMethod(fasthttp.MethodPost)
	provider.SetTarget(up, baseURL, "/chat/completions")
	up.Header.SetContentType("application/json")
	if req.Stream {
		up.Header.Set(fasthttp.HeaderAccept, "text/event-stream")
	} else {
		up.Header.Set(fasthttp.HeaderAccept, "application/json")
	}
	var buf [256]byte
	up.Header.SetUserAgentBytes(append(append(buf[:0], "tallygate/"...), provider.Version...))
	// A local model server may need no key.
	if secret := cred.Secret(); secret != "" {
		up.Header.SetBytesV(fasthttp.HeaderAuthorization, append(append(buf[:0], "Bearer "...), secret...))
	}
	encodeBody(up, req)
	return nil
}

// encodeBody copies the client's body with at most two edits.
func encodeBody(up *fasthttp.Request, req *llm.Request) {
	up.ResetBody()
	edits := [2]edit{modelEdit(req), usageEdit(req)}
	if edits[1].at.Start < edits[0].at.Start {
		edits[0], edits[1] = edits[1], edits[0]
	}
	from := 0
	for i := range edits {
		e := &edits[i]
		if e.at.IsZero() {
			continue
		}
		up.AppendBody(req.Body[from:e.at.Start])
		up.AppendBodyString(e.text)
		if e.quoted != "" {
			var buf [512]byte
			up.AppendBody(scan.AppendQuoted(buf[:0], e.quoted))
		}
		from = e.at.End
	}
	up.AppendBody(req.Body[from:])
}

// edit puts text, and then quoted as a JSON string if it is not empty, in place of a
// part of the body. The zero edit changes nothing.
type edit struct {
	at           llm.Span
	text, quoted string
}

// modelEdit puts the target's name for the model in place of the client's.
func modelEdit(req *llm.Request) (e edit) {
	if string(req.Model) != req.UpstreamModel {
		e.at, e.quoted = req.ModelAt, req.UpstreamModel
	}
	return e
}

// usageEdit makes a stream report usage. A field that is there is changed in its
// place, so that there are never two of it.
func usageEdit(req *llm.Request) (e edit) {
	options := req.StreamOptionsAt
	switch {
	case !req.Stream || req.IncludeUsage:
	case !req.IncludeUsageAt.IsZero():
		e.at, e.text = req.IncludeUsageAt, "true"
	case options.IsZero():
		// The body is an object that is not empty: it has a model.
		at := bytes.IndexByte(req.Body, '{') + 1
		e.at, e.text = llm.Span{Start: at, End: at}, `"stream_options":{"include_usage":true},`
	case req.Body[options.Start] != '{':
		e.at, e.text = options, `{"include_usage":true}`
	default:
		at := options.Start + 1
		e.at, e.text = llm.Span{Start: at, End: at}, `"include_usage":true,`
		if inner := bytes.TrimLeft(req.Body[at:options.End], " \t\r\n"); inner[0] == '}' {
			e.text = `"include_usage":true`
		}
	}
	return e
}
