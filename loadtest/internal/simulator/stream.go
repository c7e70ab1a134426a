package simulator

import (
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// errCut makes the server close the connection in mid-answer.
var errCut = errors.New("cut by the simulator")

// stream is the body of one streamed answer. The server reads it in the
// connection's own goroutine: each Read is one event (or a burst of them), sent
// as one HTTP chunk and flushed, as the provider does.
type stream struct {
	answer
	server *Server
	conn   net.Conn
	behaviour
	// head is what every event begins with.
	head         []byte
	includeUsage bool
	obfuscate    bool
	fate         Fate

	next int // the event that is due
	// rest is what a Read had no room for.
	rest, buf []byte
	sent      int // content tokens of all choices
	finished  bool
}

// behaviour is what a stream needs of a Behaviour.
type behaviour struct {
	chunkTokens int
	burst       int // events per write
	faultAt     int // in content events; -1 is never
	wait        time.Duration
	gap         Distribution
	random      draws
}

var streams = sync.Pool{New: func() any { return new(stream) }}

func (s *Server) newStream(conn net.Conn, req *chatRequest, a answer, b *Behaviour, fate Fate, random draws) *stream {
	st := streams.Get().(*stream)
	*st = stream{
		answer: a, server: s, conn: conn, includeUsage: req.includeUsage, obfuscate: req.obfuscate, fate: fate,
		head: st.head[:0], buf: st.buf[:0],
		behaviour: behaviour{chunkTokens: b.ChunkTokens, burst: b.Burst, gap: b.Gap, random: random, faultAt: -1},
	}
	st.head = append(st.head, "data: "...)
	st.head = a.appendHead(st.head, "chat.completion.chunk")
	switch fate {
	case Cut, Stalled, Broken, Garbled:
		if st.faultAt = b.After; b.After == halfway {
			st.faultAt = st.contentEvents() / 2
		}
		st.faultAt = min(st.faultAt, st.contentEvents())
	}
	return st
}

func (st *stream) contentEvents() int {
	return st.choices * ((st.tokens + st.chunkTokens - 1) / st.chunkTokens)
}

// Read gives one burst of events, or what is left of it, after the time it is due.
func (st *stream) Read(p []byte) (int, error) {
	if len(st.rest) == 0 {
		if err := st.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, st.rest)
	st.rest = st.rest[n:]
	return n, nil
}

// fill waits for the events that are due next and puts them into rest.
func (st *stream) fill() error {
	if !st.server.wait(st.conn, st.dueIn()) {
		return errCut
	}
	st.buf = st.buf[:0]
	for range st.burst {
		if st.faultAt >= 0 && st.next-st.choices == st.faultAt {
			if len(st.buf) > 0 {
				break // what was said before the fault goes first
			}
			if err := st.fail(); err != nil {
				return err
			}
			break
		}
		var more bool
		if st.buf, more = st.appendEvent(st.buf); !more {
			break
		}
	}
	st.rest = st.buf
	if len(st.buf) == 0 {
		st.finished = true
		return io.EOF
	}
	return nil
}

// dueIn is how long the next event waits: the latency before the first one, the
// gap between two events with content.
func (st *stream) dueIn() time.Duration {
	if st.next == 0 {
		return st.wait
	}
	if content := st.next - st.choices; content > 0 && content < st.contentEvents() {
		return st.gap.Draw(&st.random)
	}
	return 0
}

// fail does what the fate demands instead of the event that is due. Without an
// error, buf holds the bytes to send.
func (st *stream) fail() error {
	switch st.fate {
	case Stalled:
		st.finished = st.server.wait(st.conn, waitMax)
		return errCut
	case Broken:
		if st.finished {
			return io.EOF
		}
		st.finished = true
		st.buf = append(st.buf[:0], "data: "...)
		st.buf = append(refusalFor(&Behaviour{Status: 500}).appendBody(st.buf), "\n\n"...)
		return nil
	case Garbled:
		st.faultAt = -1
		st.buf = append(append(st.buf[:0], st.head[:len(st.head)/2]...), "\n\n"...)
		return nil
	default: // Cut
		st.finished = true
		return errCut
	}
}

// Close is called by the server when the answer was sent, or could not be.
func (st *stream) Close() error {
	if !st.finished {
		st.server.stats.hangUps.Add(1)
	}
	st.server.stats.settle(&st.answer, st.finished && st.faultAt < 0, st.sent)
	*st = stream{head: st.head, buf: st.buf}
	streams.Put(st)
	return nil
}

// appendEvent appends the next event, in the provider's order: the roles, the
// content with choices interleaved, the finish reasons, usage if asked for, the
// end mark. It returns false when there is none.
func (st *stream) appendEvent(dst []byte) ([]byte, bool) {
	n, content := st.next, st.contentEvents()
	st.next++
	switch {
	case n < st.choices:
		dst = st.appendChoice(dst, n)
		dst = append(dst, `,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}]`...)
		return st.appendTail(dst, 0), true
	case n < st.choices+content:
		n -= st.choices
		choice, step := n%st.choices, n/st.choices
		tokens := min(st.chunkTokens, st.tokens-step*st.chunkTokens)
		dst = st.appendChoice(dst, choice)
		dst = append(dst, `,"delta":{"content":"`...)
		from := len(dst)
		dst = st.appendWords(dst, choice, tokens, step == 0)
		size := len(dst) - from
		st.sent += tokens
		dst = append(dst, `"},"logprobs":null,"finish_reason":null}]`...)
		return st.appendTail(dst, size), true
	case n < 2*st.choices+content:
		dst = st.appendChoice(dst, n-st.choices-content)
		dst = append(dst, `,"delta":{},"logprobs":null,"finish_reason":"`...)
		dst = append(dst, st.finishReason...)
		dst = append(dst, `"}]`...)
		return st.appendTail(dst, 0), true
	}
	usage := 0
	if st.includeUsage && st.metered {
		usage = 1
	}
	switch n - 2*st.choices - content {
	case usage - 1:
		dst = append(dst, st.head...)
		dst = append(dst, `],"usage":`...)
		dst = st.appendUsage(dst)
		return append(dst, "}\n\n"...), true
	case usage:
		return append(dst, "data: [DONE]\n\n"...), true
	}
	return dst, false
}

func (st *stream) appendChoice(dst []byte, choice int) []byte {
	dst = append(dst, st.head...)
	dst = append(dst, `{"index":`...)
	return strconv.AppendInt(dst, int64(choice), 10)
}

// obfuscatedLen is the length to which content and obfuscation together are filled up.
const obfuscatedLen = 16

func (st *stream) appendTail(dst []byte, contentLen int) []byte {
	if st.includeUsage {
		dst = append(dst, `,"usage":null`...)
	}
	if st.obfuscate {
		dst = append(dst, `,"obfuscation":"`...)
		noise := draws{state: st.id ^ uint64(st.next)}
		for range obfuscatedLen - contentLen%obfuscatedLen {
			dst = append(dst, 'a'+byte(noise.next()%26))
		}
		dst = append(dst, '"')
	}
	return append(dst, "}\n\n"...)
}
