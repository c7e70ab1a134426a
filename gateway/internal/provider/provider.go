// Package provider is what upstream APIs have in common. Each API is a folder.
package provider

import (
	"github.com/valyala/fasthttp"

	"github.com/tallygate/tallygate/gateway/internal/llm"
)

// Provider speaks one upstream API. One value serves every request and keeps no
// per-request state; what a stream must remember lives in its Decoder.
type Provider interface {
	// Name is the API's name in configuration, as in providers[].api.
	Name() string
	// Encode fills up with method, URI, headers and body. It keeps no argument.
	// baseURL has no slash at its end.
	Encode(up *fasthttp.Request, req *llm.Request, baseURL string, cred Credential) error
	// Decode reads a complete 2xx body into out, whose slices are then parts of body.
	// An error says that the body is no answer of this API.
	Decode(out *llm.Answer, body []byte) error
	// DecodeError classifies a non-2xx answer. It never returns nil.
	DecodeError(status int, header *fasthttp.ResponseHeader, body []byte) *Error
	// NewDecoder returns the decoder of one streamed answer. Decoders are pooled:
	// the caller gives it back with Release.
	NewDecoder() Decoder
}

// Credential is a provider's secret, resolved. Its String and Format show nothing.
type Credential struct{ secret string }

// NewCredential wraps a secret.
func NewCredential(secret string) Credential { return Credential{secret} }

// Secret returns the secret itself. Only Encode calls it.
func (c Credential) Secret() string { return c.secret }

// String hides the secret from logs.
func (c Credential) String() string { return "[redacted]" }

// GoString hides the secret from %#v.
func (c Credential) GoString() string { return "[redacted]" }

// Decoder reads one streamed answer.
type Decoder interface {
	// Next takes the next whole event from p and says how many bytes of p it took.
	// n is 0 if p holds no whole event yet: call again with more. ev is valid until
	// the next call. An error says that the stream is no stream of this API.
	Next(p []byte) (ev llm.Event, n int, err error)
	// Usage is what the stream has reported so far.
	Usage() *llm.Usage
	// FinishReason is the first choice's, in OpenAI's words; empty if not reported so far.
	FinishReason() []byte
	// Release gives the decoder back. It may not be used afterwards.
	Release()
}

// Class is a sort of upstream failure, as in event.Attempt.error_class.
type Class string

// Classes of upstream failures.
const (
	ClassConnect      Class = "connect"
	ClassTimeout      Class = "timeout"
	ClassRateLimited  Class = "rate_limited"
	ClassQuota        Class = "quota"
	ClassOverloaded   Class = "overloaded"
	ClassServer       Class = "server"
	ClassAuth         Class = "auth"
	ClassInvalid      Class = "invalid"
	ClassNotFound     Class = "not_found"
	ClassGarbage      Class = "garbage"
	ClassCut          Class = "cut"
	ClassClientClosed Class = "client_closed"
)

// Error is a provider's refusal, understood.
type Error struct {
	Class Class
	// Status is the provider's HTTP status.
	Status int
	// Message is the provider's text, if it is one that may be shown to a client:
	// empty for HTML, for refused credentials, and for what is not understood.
	Message string
	// Param and Code are the provider's, empty if none.
	Param, Code string
	// RetryAfterMs is how long the provider asks to wait; 0 if it does not say.
	RetryAfterMs uint64
}
