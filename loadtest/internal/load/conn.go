package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"time"
)

const (
	dialTimeout    = 2 * time.Second
	readBufBytes   = 32 << 10
	answerMaxBytes = 64 << 20
)

// errMalformed says that what came is not the HTTP that this client understands.
var errMalformed = errors.New("malformed answer")

// wire is one HTTP/1.1 connection. It is a client of its own, not net/http's,
// because it shares the machine with what it measures.
type wire struct {
	net.Conn
	r *bufio.Reader
}

func dial(addr netip.AddrPort) (*wire, error) {
	c, err := net.DialTimeout("tcp", addr.String(), dialTimeout)
	if err != nil {
		return nil, fmt.Errorf("cannot connect: %w", err)
	}
	return &wire{Conn: c, r: bufio.NewReaderSize(c, readBufBytes)}, nil
}

// receive reads one answer. An error after the status line leaves the status in
// a: the answer was cut.
func (w *wire) receive(a *answer) error {
	*a = answer{requestID: a.requestID[:0], body: a.body[:0]}
	length, err := w.head(a)
	if err != nil {
		return err
	}
	switch {
	case a.status == 204 || a.status == 304:
		return nil
	case length == chunked:
		return w.chunks(a)
	case length == untilClose:
		a.closing = true
		return w.untilClose(a)
	}
	a.firstByte = time.Now()
	return w.take(a, length)
}

// Kinds of body beside one of a known length.
const (
	chunked    = -1
	untilClose = -2
)

func (w *wire) line() ([]byte, error) {
	line, err := w.r.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, fmt.Errorf("%w: a header line is too long", errMalformed)
		}
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// head reads status and headers and returns the length of the body.
func (w *wire) head(a *answer) (int, error) {
	line, err := w.line()
	if err != nil {
		return 0, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, fmt.Errorf("%w: it begins with %q", errMalformed, line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil || status < 200 {
		return 0, fmt.Errorf("%w: it begins with %q", errMalformed, line)
	}
	a.status = status
	length := untilClose
	for {
		line, err := w.line()
		if err != nil {
			return 0, err
		}
		if len(line) == 0 {
			return length, nil
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			return 0, fmt.Errorf("%w: a header line is %q", errMalformed, line)
		}
		value = bytes.TrimSpace(value)
		switch {
		case is(name, "content-length"):
			if length, err = strconv.Atoi(string(value)); err != nil || length < 0 {
				return 0, fmt.Errorf("%w: Content-Length is %q", errMalformed, value)
			}
		case is(name, "transfer-encoding"):
			length = chunked
		case is(name, "x-request-id"):
			a.requestID = append(a.requestID, value...)
		case is(name, "content-type"):
			a.stream = bytes.HasPrefix(value, []byte("text/event-stream"))
		case is(name, "connection"):
			a.closing = is(value, "close")
		}
	}
}

// is compares a header's name or value without regard to case.
func is(b []byte, lower string) bool {
	return len(b) == len(lower) && bytes.EqualFold(b, []byte(lower))
}

// take appends n bytes to the body.
func (w *wire) take(a *answer, n int) error {
	if len(a.body)+n > answerMaxBytes {
		return fmt.Errorf("%w: it is larger than %d bytes", errMalformed, answerMaxBytes)
	}
	from := len(a.body)
	if cap(a.body)-from < n {
		a.body = append(a.body, make([]byte, n)...)
	}
	a.body = a.body[:from+n]
	got, err := io.ReadFull(w.r, a.body[from:])
	a.body = a.body[:from+got]
	return err
}

func (w *wire) chunks(a *answer) error {
	for {
		line, err := w.line()
		if err != nil {
			return err
		}
		size, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil {
			return fmt.Errorf("%w: a chunk begins with %q", errMalformed, line)
		}
		if a.firstByte.IsZero() {
			a.firstByte = time.Now()
		}
		if size == 0 {
			_, err := w.line() // no trailers are expected
			return err
		}
		if err := w.take(a, int(size)); err != nil {
			return err
		}
		if _, err := w.line(); err != nil {
			return err
		}
	}
}

func (w *wire) untilClose(a *answer) error {
	a.firstByte = time.Now()
	b, err := io.ReadAll(io.LimitReader(w.r, answerMaxBytes))
	a.body = append(a.body, b...)
	return err
}
