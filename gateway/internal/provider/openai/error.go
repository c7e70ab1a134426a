package openai

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"github.com/tallygate/tallygate/gateway/internal/provider"
)

// messageMaxBytes is how much of a provider's message is shown.
const messageMaxBytes = 2048

// DecodeError implements provider.Provider.
func (*Provider) DecodeError(status int, header *fasthttp.ResponseHeader, body []byte) *provider.Error {
	f := readError(body)
	if status/100 == 2 {
		// An error in a 200 carries its status inside, if anywhere.
		status = f.status
	}
	e := &provider.Error{
		Class: classOf(status, &f), Status: status, Message: f.message, Param: f.param, Code: f.code,
		RetryAfterMs: provider.RetryAfterMs(header, time.Now()),
	}
	if e.RetryAfterMs == 0 {
		e.RetryAfterMs = f.retryAfterMs
	}
	if e.Class == provider.ClassAuth {
		// The text quotes the credential.
		e.Message, e.Param = "", ""
	}
	return e
}

// classOf goes by the status, but where the code knows better.
func classOf(status int, f *fault) provider.Class {
	switch f.code {
	case "insufficient_quota", "billing_hard_limit_reached":
		return provider.ClassQuota
	case "invalid_api_key":
		return provider.ClassAuth
	case "model_not_found", "DeploymentNotFound":
		return provider.ClassNotFound
	}
	if f.kind == "insufficient_quota" {
		return provider.ClassQuota
	}
	switch status {
	case 401, 403:
		return provider.ClassAuth
	case 402:
		return provider.ClassQuota
	case 404:
		return provider.ClassNotFound
	case 408, 504, 524:
		return provider.ClassTimeout
	case 409:
		// OpenAI's lock timeouts: the same request may succeed a moment later.
		return provider.ClassServer
	case 429:
		return provider.ClassRateLimited
	case 498, 503, 529:
		// 498 is Groq's for no free capacity.
		return provider.ClassOverloaded
	}
	switch status / 100 {
	case 4:
		return provider.ClassInvalid
	case 3:
		// Redirects are not followed: the credential would travel along.
		return provider.ClassGarbage
	}
	return provider.ClassServer
}

// fault is what an error body says.
type fault struct {
	message, kind, param, code string
	// status is an HTTP status named in the body, 0 if none.
	status       int
	retryAfterMs uint64
}

// readError understands the shapes of error bodies that OpenAI and compatible
// providers send: {"error":{…}}, {"error":"text"}, {"message":…}, {"detail":…}, any of
// them in an array of one. What it does not understand, as a web page, says nothing.
func readError(body []byte) (f fault) {
	body = bytes.TrimSpace(body)
	var list []json.RawMessage
	if bytes.HasPrefix(body, []byte("[")) && json.Unmarshal(body, &list) == nil && len(list) > 0 {
		body = list[0]
	}
	var top struct {
		wireError
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &top) != nil {
		return f
	}
	inner := top.wireError
	if text := textOf(top.Error); text != "" {
		var w wireError
		if json.Unmarshal(top.Error, &w) != nil {
			w = wireError{Message: top.Error}
		}
		inner = w
	}
	return inner.fault()
}

// wireError is an error object. Its fields are of any type.
type wireError struct {
	Message json.RawMessage `json:"message"`
	Detail  json.RawMessage `json:"detail"`
	Type    json.RawMessage `json:"type"`
	Param   json.RawMessage `json:"param"`
	Code    json.RawMessage `json:"code"`
	Details json.RawMessage `json:"details"`
}

func (w *wireError) fault() (f fault) {
	f.message = textOf(w.Message)
	if f.message == "" {
		f.message = textOf(w.Detail)
	}
	if strings.HasPrefix(f.message, "<") {
		f.message = ""
	}
	f.message = cut(f.message, messageMaxBytes)
	f.kind, f.param, f.code = cut(textOf(w.Type), 128), cut(textOf(w.Param), 256), cut(textOf(w.Code), 128)
	var n int
	if json.Unmarshal(w.Code, &n) == nil && n >= 400 && n <= 599 {
		f.status = n
	}
	// Google's hint, on its OpenAI-compatible endpoint as well.
	var details []struct {
		RetryDelay string `json:"retryDelay"`
	}
	if json.Unmarshal(w.Details, &details) == nil {
		for _, d := range details {
			if wait, err := time.ParseDuration(d.RetryDelay); err == nil && wait > 0 {
				f.retryAfterMs = uint64(wait.Milliseconds())
			}
		}
	}
	return f
}

// textOf is a value as text: a string itself, null nothing, anything else its JSON.
func textOf(raw json.RawMessage) string {
	var s *string
	if len(raw) == 0 || json.Unmarshal(raw, &s) == nil {
		if s == nil {
			return ""
		}
		return strings.TrimSpace(*s)
	}
	return string(raw)
}

// cut shortens s to at most n bytes, between characters.
func cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
