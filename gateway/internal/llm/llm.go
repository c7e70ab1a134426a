// Package llm holds the neutral types that client dialects and providers meet in.
// A dialect fills a Request from what its clients send; a provider encodes it for
// its upstream, and decodes the answer into Usage and events.
package llm

// Wire names a JSON format. Where client and upstream speak the same, bytes pass
// through and only what a stage touched is edited.
type Wire uint8

// Wires.
const (
	OpenAIChat Wire = iota + 1
)

// Span is a place in a body: body[Start:End]. The zero Span is nowhere.
type Span struct{ Start, End int }

// IsZero says if the span is nowhere.
func (s Span) IsZero() bool { return s.End == 0 }

// Request is what a client asked for. Its slices are parts of the client's request
// and are valid until the request's end.
type Request struct {
	// Wire is the format of Body.
	Wire Wire
	// Body is the request as the client sent it, a valid JSON object.
	Body []byte
	// Model is the name the client used.
	Model []byte
	// ModelAt is the value of the model field in Body, quotes included.
	ModelAt Span
	// Stream says if the client wants server-sent events.
	Stream bool
	// StreamOptionsAt is the value of stream_options in Body, an object or null.
	StreamOptionsAt Span
	// IncludeUsage says if the client asked for usage in its stream.
	IncludeUsage bool
	// IncludeUsageAt is the value of stream_options.include_usage in Body, if it is there.
	IncludeUsageAt Span
	// OutputTokensMax is the client's own bound on the output, in tokens; 0 if none.
	OutputTokensMax uint64
	// Choices is how many answers are wanted; 1 if the client does not say.
	Choices uint64
	// EndUser is the client's name for its own user; empty if none.
	EndUser []byte

	// UpstreamModel is the chosen target's name for the model.
	UpstreamModel string
}

// Reset makes r ready for another request.
func (r *Request) Reset() { *r = Request{} }

// Usage counts tokens. All counts are totals, never deltas. A count that was not
// reported is zero and its Known bit is clear: "not reported" is never zero.
type Usage struct {
	// Input is all prompt tokens, cached ones included.
	Input uint64
	// CacheRead, CacheWrite5m and CacheWrite1h are parts of Input.
	CacheRead, CacheWrite5m, CacheWrite1h uint64
	// Output is all generated tokens, reasoning included; Reasoning is a part of it.
	Output, Reasoning uint64
	// Known has a bit for each count that was reported.
	Known UsageBits
}

// UsageBits says which counts of a Usage were reported.
type UsageBits uint8

// Bits of Usage.Known.
const (
	KnownInput UsageBits = 1 << iota
	KnownOutput
	KnownCacheRead
	KnownCacheWrite
	KnownReasoning
)

// Complete says if there is enough to bill by: input and output.
func (u *Usage) Complete() bool { return u.Known&(KnownInput|KnownOutput) == KnownInput|KnownOutput }

// Answer is what was learned of a complete answer that is not streamed.
type Answer struct {
	// Model is the model that the provider says it used; part of the decoded body.
	Model []byte
	// FinishReason is the first choice's, in OpenAI's words: stop, length,
	// tool_calls, content_filter, or what the provider said. Part of the decoded body.
	FinishReason []byte
	// OutputBytes is the size of generated text and tool arguments, for estimates
	// where usage is missing.
	OutputBytes int
	Usage       Usage
}

// EventKind is a sort of stream event.
type EventKind uint8

// Kinds of stream events.
const (
	// EventOther carries nothing that we act on: a comment, a role, a heartbeat.
	EventOther EventKind = iota
	// EventContent carries generated content.
	EventContent
	// EventUsage carries nothing but usage.
	EventUsage
	// EventDone is the stream's terminal event.
	EventDone
	// EventError is an error within the stream.
	EventError
)

// Event is one event of a streamed answer.
type Event struct {
	Kind EventKind
	// Raw is the event as it came, its blank line included, but that several data
	// lines are joined to one. It is valid until the decoder is called again.
	Raw []byte
	// UsageAt is the usage in Raw together with one comma beside it, so that Raw
	// without it is the same event but for the usage.
	UsageAt Span
	// OutputBytes is the size of the generated text and tool arguments in it.
	OutputBytes int
	// Error is the provider's message, for EventError.
	Error string
}
