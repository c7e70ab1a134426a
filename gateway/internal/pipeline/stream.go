package pipeline

import (
	"errors"
	"io"
	"slices"
	"time"

	"github.com/tallygate/tallygate/gateway/internal/apierror"
	"github.com/tallygate/tallygate/gateway/internal/dialect/openai"
	"github.com/tallygate/tallygate/gateway/internal/llm"
	"github.com/tallygate/tallygate/gateway/internal/provider"
	"github.com/tallygate/tallygate/schemas/event"
)

const (
	// readChunk is the least room for a read from the provider, in bytes.
	readChunk = 4 << 10
	// eventMax bounds one event of a stream, in bytes: a larger one is garbage.
	eventMax = 16 << 20
)

// stream is the body of a streamed answer. The server reads from it on the
// client's own goroutine: bytes go from the provider's socket to the client's
// without a hand-off.
type stream struct {
	r       *Request
	attempt *attempt
	// decoded is how much of r.in the decoder has taken.
	decoded int
	// out is what the client has still to get; sent is how much of it went.
	out  []byte
	sent int
	// copy is what went out so far, for a repetition under the same Idempotency-Key.
	copy []byte
	// outputBytes is the size of the content forwarded, for estimates.
	outputBytes int
	// pending is a failure that came in one piece with events before it: those go first.
	pending failure
	// over says that nothing more will come into out.
	over bool
	// ended says that the provider's bytes have come to their end.
	ended bool
	open  bool
}

func (s *stream) reset() {
	*s = stream{r: s.r, out: shrink(s.out)}
}

// startStream waits for the first event, so that a provider that fails at once
// still gives a status, and then lets the server pull the rest.
func (r *Request) startStream(a *attempt, api provider.Provider) failure {
	if !r.isEventStream() {
		return r.endAttempt(a, nil, 0, failure{class: provider.ClassGarbage, err: apierror.UpstreamFailed,
			message: "The provider did not answer with a stream."})
	}
	s := &r.stream
	s.attempt = a
	r.in = r.in[:0]
	r.decoder = api.NewDecoder()
	for len(s.out) == 0 && !s.over {
		if f := s.pump(); f.class != "" {
			return s.failed(f)
		}
	}
	resp := &r.ctx.Response
	resp.SetStatusCode(200)
	resp.Header.SetContentTypeBytes(eventStream)
	resp.Header.Set("Cache-Control", "no-cache")
	resp.Header.Set("X-Accel-Buffering", "no")
	r.setRequestID()
	s.open = true
	resp.SetBodyStream(s, -1)
	return failure{}
}

// failed ends an attempt whose stream gave nothing that could be forwarded.
func (s *stream) failed(f failure) failure {
	r := s.r
	f = r.endAttempt(s.attempt, r.decoder.Usage(), s.outputBytes, f)
	r.decoder.Release()
	r.decoder = nil
	s.reset()
	return f
}

// Read implements io.Reader. The end of the stream is recorded before its last
// bytes are given away.
func (s *stream) Read(p []byte) (n int, err error) {
	defer s.recovered(&err)
	for s.sent == len(s.out) {
		if s.over {
			return 0, io.EOF
		}
		s.out, s.sent = s.out[:0], 0
		if f := s.pump(); f.class != "" {
			s.broken(f)
			if f.class == provider.ClassClientClosed && f.err != apierror.Draining {
				return 0, errClientClosed
			}
		}
	}
	n = copy(p, s.out[s.sent:])
	s.sent += n
	return n, nil
}

var errClientClosed = errors.New("the client hung up")

// Close implements io.Closer. The server calls it when the last byte was written,
// or when the client is gone.
func (s *stream) Close() (err error) {
	defer s.recovered(&err)
	if !s.open {
		return nil
	}
	s.open = false
	if !s.over {
		s.broken(failure{class: provider.ClassClientClosed})
	}
	r := s.r
	r.p.watcher.remove(r)
	r.put()
	return nil
}

// pump takes the next bytes from the provider and decodes what is whole in them.
func (s *stream) pump() failure {
	r := s.r
	if s.pending.class != "" {
		return s.pending
	}
	for {
		if s.decoded < len(r.in) {
			f := s.decode()
			if f.class != "" && len(s.out) > 0 {
				// How the provider's bytes were cut into packets must make no difference.
				s.pending, f = f, failure{}
			}
			if f.class != "" || len(s.out) > 0 || s.over {
				return f
			}
		}
		// What was decoded makes room.
		r.in = append(r.in[:0], r.in[s.decoded:]...)
		s.decoded = 0
		if len(r.in) > eventMax {
			return failure{class: provider.ClassGarbage, err: apierror.UpstreamFailed}
		}
		r.in = slices.Grow(r.in, readChunk)
		n, err := r.call.Read(r.in[len(r.in):cap(r.in)])
		r.in = r.in[:len(r.in)+n]
		if n > 0 {
			continue
		}
		switch {
		case err == nil:
		case err == io.EOF && len(r.in) > 0 && !s.ended:
			// Some providers leave out the last event's blank line.
			s.ended = true
			r.in = append(r.in, "\n\n"...)
		case err == io.EOF:
			// An end without the terminal event is a cut, whatever the connection says.
			return failure{class: provider.ClassCut, err: apierror.UpstreamFailed, message: "The provider's stream ended early."}
		default:
			return r.failureOf(err)
		}
	}
}

// decode takes the whole events in r.in, and appends to out what the client gets of them.
func (s *stream) decode() failure {
	r := s.r
	for s.decoded < len(r.in) {
		ev, n, err := r.decoder.Next(r.in[s.decoded:])
		if err != nil {
			return failure{class: provider.ClassGarbage, err: apierror.UpstreamFailed,
				message: "The provider's stream is not of the form that its API promises."}
		}
		if n == 0 {
			break
		}
		s.decoded += n
		switch ev.Kind {
		case llm.EventDone:
			s.finish(&ev)
			return failure{}
		case llm.EventError:
			// Its words stay here, as those of failureSaid do.
			return failure{class: provider.ClassServer, err: apierror.UpstreamFailed}
		case llm.EventContent:
			if r.out.firstContent.IsZero() {
				r.out.firstContent = time.Now()
			}
			s.outputBytes += ev.OutputBytes
		}
		s.forward(&ev)
	}
	return failure{}
}

// forward appends to out what the client gets of an event.
func (s *stream) forward(ev *llm.Event) {
	r := s.r
	before := len(s.out)
	s.out = openai.AppendEvent(s.out, ev, &r.llm)
	r.out.answerBytes += len(s.out) - before
	if r.idem != nil && len(s.copy) <= r.p.Config.Gateway.Idempotency.AnswerBytes {
		s.copy = append(s.copy, s.out[before:]...)
	}
}

// finish records a stream that came to its end, and then lets the end go.
func (s *stream) finish(done *llm.Event) {
	r := s.r
	r.out.kind, r.out.status = event.Outcome_OUTCOME_OK, 200
	r.call.Complete()
	s.forward(done)
	s.end(failure{})
	if err := r.settle(); err != nil {
		// The record is not safe, so the end may not leave.
		r.forget()
		s.out = openai.AppendStreamError(s.out[:0], apierror.Internal, "The gateway could not record the call.")
		return
	}
	r.keepAnswer("text/event-stream", s.copy)
}

// broken records a stream that ended early and tells the client, if it is there.
func (s *stream) broken(f failure) {
	r := s.r
	if r.finished {
		s.over = true
		return
	}
	o := &r.out
	o.status = 200
	switch {
	case f.err == apierror.Draining:
		o.kind, o.code = event.Outcome_OUTCOME_INTERNAL_ERROR, f.err.Code
	case f.class == provider.ClassClientClosed:
		o.kind = event.Outcome_OUTCOME_CLIENT_CLOSED
	case f.class == provider.ClassTimeout:
		o.kind, o.code = event.Outcome_OUTCOME_TIMEOUT, f.err.Code
	default:
		o.kind, o.code = event.Outcome_OUTCOME_UPSTREAM_ERROR, f.err.Code
	}
	s.end(f)
	r.forget()
	_ = r.settle()
	if f.err != nil {
		s.out = openai.AppendStreamError(s.out, f.err, f.message)
	}
}

// end ends the attempt.
func (s *stream) end(f failure) {
	r := s.r
	s.over = true
	r.out.finish = r.keep(r.decoder.FinishReason(), 32)
	r.endAttempt(s.attempt, r.decoder.Usage(), s.outputBytes, f)
	r.decoder.Release()
	r.decoder = nil
}
