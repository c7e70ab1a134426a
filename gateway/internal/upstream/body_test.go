package upstream

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"testing"
	"testing/iotest"
	"time"
)

// readBody reads a chunked body from wire, with reads of the given size.
func readBody(wire io.Reader, size int) ([]byte, error) {
	c := Call{body: body{kind: chunked}, pool: &Pool{}, conn: &conn{br: bufio.NewReaderSize(wire, readBuffer), Conn: deadlineless{}}}
	var out []byte
	p := make([]byte, size)
	for {
		n, err := c.Read(p)
		out = append(out, p[:n]...)
		if err != nil && n > 0 {
			// Callers may take the data and read on, and must then get the error again.
			n, err = c.Read(p)
			out = append(out, p[:n]...)
		}
		if err == io.EOF {
			if !c.body.done {
				return out, io.ErrNoProgress
			}
			return out, nil
		}
		if err != nil {
			return out, err
		}
	}
}

// TestBurstIsOneRead has many small chunks in one packet, as a fast stream has.
func TestBurstIsOneRead(t *testing.T) {
	r := bufio.NewReaderSize(bytes.NewReader([]byte("2\r\nab\r\n3;x\r\ncde\r\n1\r\nf\r\n0\r\n\r\n")), readBuffer)
	c := Call{body: body{kind: chunked}, pool: &Pool{}, conn: &conn{br: r, Conn: deadlineless{}}}
	p := make([]byte, 100)
	if n, err := c.Read(p); err != nil || string(p[:n]) != "abcdef" {
		t.Fatalf("unexpected first read; got %q, %v; want %q", p[:n], err, "abcdef")
	}
	if n, err := c.Read(p); n != 0 || err != io.EOF {
		t.Fatalf("unexpected second read; got %q, %v; want the end", p[:n], err)
	}
}

// deadlineless is a connection that takes deadlines and does not heed them.
type deadlineless struct{ net.Conn }

func (deadlineless) SetReadDeadline(time.Time) error { return nil }

// FuzzChunks writes data in chunks of any size and reads it in pieces of any size.
func FuzzChunks(f *testing.F) {
	f.Add([]byte("hello world"), uint16(3), uint16(4))
	f.Add([]byte{}, uint16(0), uint16(0))
	f.Fuzz(func(t *testing.T, data []byte, chunk, size uint16) {
		var wire bytes.Buffer
		for rest := data; len(rest) > 0; {
			n := min(len(rest), int(chunk)+1)
			fmt.Fprintf(&wire, "%X;x=y\r\n%s\r\n", n, rest[:n])
			rest = rest[n:]
		}
		wire.WriteString("0\r\nTrailer: x\r\n\r\n")
		whole := bytes.Clone(wire.Bytes())
		if got, err := readBody(&wire, int(size)+1); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("unexpected body of %q; got %q, %v; want %q", whole, got, err, data)
		}
		for end := range min(len(whole), 300) {
			if _, err := readBody(iotest.OneByteReader(bytes.NewReader(whole[:end])), 7); err == nil {
				t.Fatalf("expected an error for %q", whole[:end])
			}
		}
	})
}

// FuzzChunkedWire reads anything. What the standard library accepts must give the
// same data, however it is cut.
func FuzzChunkedWire(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\n\r\n"))
	f.Add([]byte("05;x\nhello\n0\nA: b\n\n"))
	f.Add([]byte("ffffffffffffffff\r\n"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		got, err := readBody(bytes.NewReader(wire), 100)
		cut, errCut := readBody(iotest.OneByteReader(bytes.NewReader(wire)), 1)
		if (err == nil) != (errCut == nil) || err == nil && !bytes.Equal(got, cut) {
			t.Fatalf("unexpected body of %q in pieces; got %q, %v; want %q, %v", wire, cut, errCut, got, err)
		}
		if want, errWant := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(wire))); err == nil && errWant == nil && !bytes.Equal(got, want) {
			t.Fatalf("unexpected body of %q; got %q; want %q", wire, got, want)
		}
	})
}
