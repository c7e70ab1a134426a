// Package provider is what upstream APIs have in common. Each API is a folder.
package provider

import (
	"fmt"
	"strings"

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
	// An error says that the body is no answer of this API; it is an *Error if the
	// provider reports a failure in it.
	Decode(out *llm.Answer, body []byte) error
	// DecodeError classifies a non-2xx answer. It never returns nil.
	DecodeError(status int, header *fasthttp.ResponseHeader, body []byte) *Error
	// NewDecoder returns the decoder of one streamed answer. Decoders are pooled:
	// the caller gives it back with Release.
	NewDecoder() Decoder
}

// Version is the gateway's, sent to providers in User-Agent. It may be set before
// the first request.
var Version = "dev"

// SetTarget fills in where a request goes: the host and the path of baseURL, and
// path behind it. Nothing is parsed, normalised or escaped: baseURL is a checked
// setting and path is a constant.
func SetTarget(up *fasthttp.Request, baseURL, path string) {
	_, rest, ok := strings.Cut(baseURL, "://")
	if !ok {
		panic("BUG: base URL without a scheme")
	}
	host, base := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		host, base = rest[:i], rest[i:]
	}
	var buf [256]byte
	up.Header.SetRequestURIBytes(append(append(buf[:0], base...), path...))
	up.Header.SetHost(host)
}

// Credential is a provider's secret, resolved. No formatting shows it.
type Credential struct{ secret string }

// NewCredential wraps a secret.
func NewCredential(secret string) Credential { return Credential{secret} }

// Secret returns the secret itself. Only Encode calls it.
func (c Credential) Secret() string { return c.secret }

// String hides the secret from logs.
func (c Credential) String() string { return "[redacted]" }

// Format hides the secret from every verb of package fmt.
func (c Credential) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// Decoder reads one streamed answer.
type Decoder interface {
	// Next takes the next whole event from p and says how many bytes of p it took.
	// n is 0 if p holds no whole event yet: call again with the same bytes and more
	// behind them. At the stream's proper end, what is left in p may lack its blank
	// line: append "\n\n" and call once more. ev is valid until the next call. An
	// error says that the stream is no stream of this API.
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

// Error says what is known, without the provider's message, which may quote a client.
func (e *Error) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("the provider answered with an error of class %q", e.Class)
	}
	return fmt.Sprintf("the provider answered with an error of class %q, code %q", e.Class, e.Code)
}
