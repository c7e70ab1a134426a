package pipeline

import (
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"github.com/tallygate/tallygate/gateway/internal/counter"
	"github.com/tallygate/tallygate/gateway/internal/hot"
	"github.com/tallygate/tallygate/gateway/internal/llm"
	"github.com/tallygate/tallygate/gateway/internal/provider"
	"github.com/tallygate/tallygate/gateway/internal/spool"
	"github.com/tallygate/tallygate/gateway/internal/upstream"
	"github.com/tallygate/tallygate/gateway/internal/view"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/policy"
)

// Request is one call on its way through the stages. Requests are pooled: what a
// stage keeps in one, the next request's stages must find reset.
type Request struct {
	p   *Pipeline
	ctx *fasthttp.RequestCtx

	// received is when the request's headers and body had been read.
	received time.Time
	now      int64
	id       event.ID
	idText   [36]byte

	view  *view.View
	key   *view.Key
	model *view.Model
	llm   llm.Request

	// tokensAsked is what was taken of token limits; tokensTaken says from how many.
	tokensAsked uint64
	tokensTaken int
	holds       []hold
	// reserved says that spool bytes are reserved for the completion.
	reserved bool
	// admitted says that an admitted event was written: a completed one must follow.
	admitted bool
	// finished says that the final record was written.
	finished bool

	denial   Denial
	readings list[event.Reading]

	call     upstream.Call
	calling  bool
	attempts list[attempt]
	decoder  provider.Decoder
	// got is what a whole answer says; its texts are parts of in.
	got     llm.Answer
	out     outcome
	watch   watched
	stream  stream
	idem    *idempotent
	idemKey idempotencyKey
	// contentType is of the answer in in, where a stage gave it.
	contentType string

	// in is what was read from the provider and not decoded yet, or a whole answer.
	in []byte

	// What is recorded.
	env           event.Envelope
	eventID       event.ID
	facts         event.Facts
	verdict       event.Verdict
	admission     event.Admitted
	end           event.Completed
	refusal       event.Denied
	endUsage      event.Usage
	asAdmitted    event.Envelope_Admitted
	asCompleted   event.Envelope_Completed
	asDenied      event.Envelope_Denied
	holdEvents    list[event.Hold]
	settlements   list[event.Settlement]
	targets       list[event.Target]
	attemptEvents []*event.Attempt
	idempotency   [16]byte
	entry         spool.Entry
	encoded       []byte
	// text holds copies of what the client sent and events name.
	text []byte
}

// hold is a reservation in the live counter of one budget.
type hold struct {
	rule   *policy.Budget
	window *counter.Window
	amount int64
}

// attempt is one call to a provider, as it will be recorded.
type attempt struct {
	event.Attempt
	usage  event.Usage
	prices event.UnitPrices
}

// outcome is how the call ended, as known so far.
type outcome struct {
	kind   event.Outcome
	status int
	code   string
	// usage is the sum over the attempts that are billed.
	usage     llm.Usage
	source    event.UsageSource
	costNanos int64
	// finish is in Request.text.
	finish       string
	target       *view.Target
	firstContent time.Time
	// waited is how long the provider took, over all attempts.
	waited      time.Duration
	answerBytes int
	original    []byte
	avoided     int64
}

var requests = sync.Pool{New: func() any {
	r := &Request{}
	r.asAdmitted.Admitted = &r.admission
	r.asCompleted.Completed = &r.end
	r.asDenied.Denied = &r.refusal
	r.stream.r = r
	return r
}}

func (p *Pipeline) get(ctx *fasthttp.RequestCtx) *Request {
	r := requests.Get().(*Request)
	r.p, r.ctx = p, ctx
	r.received = time.Now()
	r.now = r.received.UnixNano()
	r.id = event.NewID(r.received)
	_, _ = r.id.AppendText(r.idText[:0])
	return r
}

// buffersMax bounds what a pooled request keeps: a larger buffer is dropped.
const buffersMax = 256 << 10

func (r *Request) put() {
	r.ctx, r.view, r.key, r.model = nil, nil, nil, nil
	r.llm.Reset()
	r.tokensAsked, r.tokensTaken = 0, 0
	clear(r.holds)
	r.holds = r.holds[:0]
	r.reserved, r.admitted, r.finished, r.calling = false, false, false, false
	r.denial = Denial{}
	r.out, r.got = outcome{}, llm.Answer{}
	r.stream.reset()
	r.idem, r.idemKey, r.contentType = nil, idempotencyKey{}, ""
	r.readings.reset()
	r.attempts.reset()
	r.holdEvents.reset()
	r.settlements.reset()
	r.targets.reset()
	r.facts.Reset()
	r.verdict.Reset()
	r.admission.Reset()
	r.end.Reset()
	r.refusal.Reset()
	r.endUsage.Reset()
	r.env.Reset()
	r.in = shrink(r.in)
	r.encoded = shrink(r.encoded)
	r.text = shrink(r.text)
	requests.Put(r)
}

func shrink(b []byte) []byte {
	if cap(b) > buffersMax {
		return nil
	}
	return b[:0]
}

// keep copies at most max bytes of what a client or provider sent into the request,
// and returns them as a string that is valid until the request is given back. It is
// UTF-8, as the texts of events must be: what is not is replaced.
func (r *Request) keep(b []byte, max int) string {
	if len(b) > max {
		// Not in the middle of a character.
		for from := max - utf8.UTFMax; max > from && !utf8.RuneStart(b[max]); {
			max--
		}
		b = b[:max]
	}
	if len(b) == 0 {
		return ""
	}
	if !utf8.Valid(b) {
		return strings.ToValidUTF8(string(b), "\ufffd")
	}
	// Growing moves later texts only: earlier strings keep the old array alive.
	start := len(r.text)
	r.text = append(r.text, b...)
	return hot.StringOf(r.text[start:])
}

// list is a slice of pointers whose elements are used again.
type list[T any] struct {
	items []*T
	n     int
}

// next returns the next element. Its fields are as the last user left them.
func (l *list[T]) next() *T {
	if l.n == len(l.items) {
		l.items = append(l.items, new(T))
	}
	l.n++
	return l.items[l.n-1]
}

func (l *list[T]) all() []*T { return l.items[:l.n] }

// listMax bounds what a pooled request keeps.
const listMax = 64

func (l *list[T]) reset() {
	if len(l.items) > listMax {
		l.items = nil
	}
	l.n = 0
}
