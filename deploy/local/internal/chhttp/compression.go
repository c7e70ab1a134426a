package chhttp

import (
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/tallygate/tallygate/deploy/local/internal/chdb"
)

// encodings are those of HTTP, best for loopback first.
var encodings = []string{"zstd", "lz4", "br", "gzip", "deflate"}

// acceptedEncoding picks an encoding for the answer, or none.
func acceptedEncoding(header string) string {
	offered := map[string]bool{}
	for _, part := range strings.Split(header, ",") {
		name, params, _ := strings.Cut(part, ";")
		if q := strings.ReplaceAll(params, " ", ""); q != "q=0" && q != "q=0.0" {
			offered[strings.ToLower(strings.TrimSpace(name))] = true
		}
	}
	for _, e := range encodings {
		if offered[e] {
			return e
		}
	}
	return ""
}

func encoder(w io.Writer, encoding string) (io.WriteCloser, error) {
	switch encoding {
	case "gzip":
		return gzip.NewWriterLevel(w, gzip.BestSpeed)
	case "zstd":
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	case "lz4":
		return lz4.NewWriter(w), nil
	case "br":
		return brotli.NewWriterLevel(w, brotli.BestSpeed), nil
	case "deflate":
		return zlib.NewWriterLevel(w, zlib.BestSpeed)
	}
	return nil, fmt.Errorf("BUG: no encoder for %q", encoding)
}

func decoder(r io.Reader, encoding string) (io.Reader, error) {
	var d io.Reader
	var err error
	switch strings.ToLower(encoding) {
	case "", "identity":
		return r, nil
	case "gzip", "x-gzip":
		d, err = gzip.NewReader(r)
	case "zstd":
		d, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	case "lz4":
		d = lz4.NewReader(r)
	case "br":
		d = brotli.NewReader(r)
	case "deflate":
		d, err = zlib.NewReader(r)
	default:
		return nil, chdb.NewException(48, "NOT_IMPLEMENTED", "Unknown compression method: %s; use one of %s", encoding, strings.Join(encodings, ", "))
	}
	if errors.Is(err, io.EOF) {
		return strings.NewReader(""), nil
	}
	if err != nil {
		return nil, chdb.NewException(354, "ZLIB_INFLATE_FAILED", "Cannot decompress the request's body: %v", err)
	}
	return d, nil
}

// blockDecoder reads ClickHouse's own compression, of decompress=1.
type blockDecoder struct{ r *compress.Reader }

// Read gives io.EOF itself at the end, which the library wraps.
func (d blockDecoder) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.EOF
	}
	return n, err
}

// blockBytes is how much of the answer is compressed at once; ClickHouse's size.
const blockBytes = 1 << 20

// blockEncoder writes ClickHouse's own compression, of compress=1.
type blockEncoder struct {
	w       io.Writer
	c       *compress.Writer
	pending []byte
}

func newBlockEncoder(w io.Writer, method string) (*blockEncoder, error) {
	m := compress.LZ4
	switch strings.ToUpper(method) {
	case "", "LZ4":
	case "LZ4HC":
		m = compress.LZ4HC
	case "ZSTD":
		m = compress.ZSTD
	case "NONE":
		m = compress.None
	default:
		return nil, chdb.NewException(89, "UNKNOWN_COMPRESSION_METHOD", "Unknown network_compression_method: %s", method)
	}
	return &blockEncoder{w: w, c: compress.NewWriter(0, m)}, nil
}

func (e *blockEncoder) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		room := min(blockBytes-len(e.pending), len(p))
		e.pending = append(e.pending, p[:room]...)
		p = p[room:]
		if len(e.pending) == blockBytes {
			if err := e.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// Close writes what is left; it leaves the writer beneath open.
func (e *blockEncoder) Close() error {
	if len(e.pending) == 0 {
		return nil
	}
	return e.flush()
}

func (e *blockEncoder) flush() error {
	if err := e.c.Compress(e.pending); err != nil {
		return fmt.Errorf("cannot compress the answer: %w", err)
	}
	e.pending = e.pending[:0]
	_, err := e.w.Write(e.c.Data)
	return err
}
