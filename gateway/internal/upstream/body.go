package upstream

import (
	"bufio"
	"bytes"
	"io"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// trailersMax bounds what may follow the last chunk, in bytes.
	trailersMax = 16 << 10
	// chunkHeadPeek is how far another looks for a chunk's size, in bytes.
	chunkHeadPeek = 64
)

// body reads an answer's body: of known length, chunked, or until the connection's end.
type body struct {
	kind bodyKind
	// left is what is left of the body or of the current chunk.
	left int64
	// inChunk says that a chunk's line end has still to be read.
	inChunk bool
	done    bool
}

type bodyKind uint8

const (
	untilEnd bodyKind = iota
	sized
	chunked
)

func (b *body) start(h *fasthttp.ResponseHeader) {
	code := h.StatusCode()
	n := h.ContentLength()
	switch {
	case code == fasthttp.StatusNoContent || code == fasthttp.StatusNotModified:
		*b = body{kind: sized, done: true}
	case n == -1:
		*b = body{kind: chunked}
	case n >= 0:
		*b = body{kind: sized, left: int64(n), done: n == 0}
	default:
		*b = body{kind: untilEnd}
	}
}

// Read reads the answer's body as it comes. It returns io.EOF at its true end and
// ErrCut if the connection ends before it.
func (c *Call) Read(p []byte) (int, error) {
	if c.body.done {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	cn := c.conn
	if cn == nil {
		return 0, c.why(ErrCut)
	}
	if err := cn.boundRead(time.Now(), c.pool.opts.ChunkTimeout, c.end); err != nil {
		return 0, c.why(failed(err, true))
	}
	n, err := c.body.read(cn.br, p)
	for err == nil && n < len(p) && c.body.another(cn.br) {
		var m int
		m, err = c.body.read(cn.br, p[n:])
		n += m
	}
	if err != nil && err != io.EOF {
		c.spoilt = true
		err = c.why(failed(err, true))
	}
	return n, err
}

// read takes the next bytes of the body. io.EOF means its true end, whereas
// io.ErrUnexpectedEOF is the connection's.
func (b *body) read(br *bufio.Reader, p []byte) (int, error) {
	if b.kind == chunked && b.left == 0 {
		if err := b.nextChunk(br); err != nil {
			return 0, unexpected(err)
		}
		if b.done {
			return 0, io.EOF
		}
	}
	if b.kind != untilEnd && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := br.Read(p)
	if b.kind == untilEnd {
		b.done = err == io.EOF
		return n, err
	}
	b.left -= int64(n)
	b.done = b.kind == sized && b.left == 0
	return n, unexpected(err)
}

// another says if a further chunk can be read without waiting: the line ends before
// and behind its size have arrived. A burst of small chunks then is one read.
func (b *body) another(br *bufio.Reader) bool {
	if b.kind != chunked || b.left > 0 || b.done {
		return false
	}
	p, _ := br.Peek(min(br.Buffered(), chunkHeadPeek))
	i := bytes.IndexByte(p, '\n')
	if i < 0 || len(trimEOL(p[:i+1])) > 0 {
		return false
	}
	// The last chunk and broken ones are left for a read of their own, which may wait or fail.
	p = p[i+1:]
	i = bytes.IndexByte(p, '\n')
	if i < 0 || i == len(p)-1 {
		return false
	}
	size, ok := chunkSize(trimEOL(p[:i]))
	return ok && size > 0
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// nextChunk reads a chunk's size, and what follows the last one.
func (b *body) nextChunk(br *bufio.Reader) error {
	if b.inChunk {
		line, err := br.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(trimEOL(line)) != 0 {
			return errChunk
		}
		b.inChunk = false
	}
	line, err := br.ReadSlice('\n')
	if err != nil {
		if err == bufio.ErrBufferFull {
			return errChunk
		}
		return err
	}
	size, ok := chunkSize(trimEOL(line))
	if !ok {
		return errChunk
	}
	if size > 0 {
		b.left, b.inChunk = size, true
		return nil
	}
	for total := 0; ; {
		line, err := br.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return err
		}
		if total += len(line); err != nil || total > trailersMax {
			return errChunk
		}
		if len(trimEOL(line)) == 0 {
			b.done = true
			return nil
		}
	}
}

func trimEOL(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}

// chunkSize reads the hexadecimal size before a chunk's extensions.
func chunkSize(line []byte) (int64, bool) {
	if i := bytes.IndexByte(line, ';'); i >= 0 {
		line = line[:i]
	}
	line = bytes.TrimRight(line, " \t")
	// 15 digits hold more than any answer and never overflow.
	if len(line) == 0 || len(line) > 15 {
		return 0, false
	}
	var n int64
	for _, c := range line {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		n = n<<4 | int64(c)
	}
	return n, true
}

// ended says if all content was read. Between two chunks only the caller can know:
// with complete, no further chunk is expected, just the end.
func (b *body) ended(complete bool) bool {
	return b.kind != untilEnd && (b.done || complete && b.kind == chunked && b.left == 0)
}
