package chhttp

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tallygate/tallygate/deploy/local/internal/chdb"
)

// contentTypes are those of the formats that are not plain text; the rest of the
// text formats say TSV.
var contentTypes = map[string]string{
	"native": "application/octet-stream", "rowbinary": "application/octet-stream",
	"rowbinarywithnames": "application/octet-stream", "rowbinarywithnamesandtypes": "application/octet-stream",
	"parquet": "application/octet-stream", "arrow": "application/octet-stream", "arrowstream": "application/octet-stream",
	"orc": "application/octet-stream", "avro": "application/octet-stream", "protobuf": "application/octet-stream",
	"json": "application/json; charset=UTF-8", "jsoncompact": "application/json; charset=UTF-8",
	"jsonstrings": "application/json; charset=UTF-8", "jsoncolumns": "application/json; charset=UTF-8",
	"jsoneachrow": "application/x-ndjson; charset=UTF-8", "jsoncompacteachrow": "application/x-ndjson; charset=UTF-8",
	"csv": "text/csv; charset=UTF-8; header=absent", "csvwithnames": "text/csv; charset=UTF-8; header=present",
	"xml": "application/xml; charset=UTF-8", "pretty": "text/plain; charset=UTF-8",
	"prettycompact": "text/plain; charset=UTF-8", "vertical": "text/plain; charset=UTF-8", "markdown": "text/markdown; charset=UTF-8",
	"tabseparatedwithnames":         "text/tab-separated-values; charset=UTF-8; header=present",
	"tabseparatedwithnamesandtypes": "text/tab-separated-values; charset=UTF-8; header=present",
}

// answer writes a complete result, in the revision and the compression that the
// client asked for.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, q *request, result *chdb.Result, format string, elapsed time.Duration) error {
	body := result.Bytes()
	if q.revision > 0 && strings.EqualFold(format, "Native") && len(body) > 0 {
		var out bytes.Buffer
		out.Grow(len(body) + 64)
		if err := nativeRevision(&out, body, q.revision); err != nil {
			return err
		}
		body = out.Bytes()
	}
	h := w.Header()
	h.Set("X-ClickHouse-Format", format)
	h.Set("X-ClickHouse-Summary", summary(result.Stats(), len(body), elapsed))
	contentType, ok := contentTypes[strings.ToLower(format)]
	if !ok {
		contentType = "text/tab-separated-values; charset=UTF-8"
	}
	h.Set("Content-Type", contentType)
	if len(body) == 0 {
		q.encoding = ""
	}
	if q.encoding == "" && !q.compress {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	} else if q.encoding != "" {
		h.Set("Content-Encoding", q.encoding)
		h.Add("Vary", "Accept-Encoding")
	}
	if r.Method == http.MethodHead {
		return nil
	}
	out, closers, err := wrap(w, q)
	if err != nil {
		return err
	}
	_, err = out.Write(body)
	for i := 0; i < len(closers) && err == nil; i++ {
		err = closers[i].Close()
	}
	if err != nil {
		// The status is sent; the client is gone or sees a cut answer.
		slog.Info("cannot send an answer", "query_id", q.queryID, "error", err)
	}
	return nil
}

// wrap puts the compressions around the answer, and returns what must be closed, in order.
func wrap(w io.Writer, q *request) (io.Writer, []io.Closer, error) {
	var closers []io.Closer
	if q.encoding != "" {
		e, err := encoder(w, q.encoding)
		if err != nil {
			return nil, nil, err
		}
		w, closers = e, append(closers, e)
	}
	if q.compress {
		e, err := newBlockEncoder(w, q.compressMethod)
		if err != nil {
			return nil, nil, err
		}
		w, closers = e, append([]io.Closer{e}, closers...)
	}
	return w, closers, nil
}

func summary(st chdb.Stats, resultBytes int, elapsed time.Duration) string {
	return fmt.Sprintf(`{"read_rows":"%d","read_bytes":"%d","written_rows":"%d","written_bytes":"%d","total_rows_to_read":"0","result_rows":"%d","result_bytes":"%d","elapsed_ns":"%d"}`,
		st.ReadRows, st.ReadBytes, st.WrittenRows, st.WrittenBytes, st.ResultRows, resultBytes, elapsed.Nanoseconds())
}
