package load

import (
	"bytes"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/tidwall/gjson"
)

// unknown is a token count that the answer did not give.
const unknown = -1

// answer is what came back for one call. It is reused; its slices are valid until
// the next call on the same connection.
type answer struct {
	status    int
	requestID []byte
	stream    bool // by its Content-Type
	closing   bool // the server will close the connection
	body      []byte
	// firstByte is when the first byte of the body was there.
	firstByte time.Time
	// input and output are the tokens reported, or unknown.
	input, output int64
}

var (
	usageMark = []byte(`"usage":{`)
	doneMark  = []byte("data: [DONE]\n\n")
	errorMark = []byte("data: {\"error\":")
)

// check reads the tokens and returns the class of what is wrong with the answer,
// or "".
func (a *answer) check(wantStream bool, wantUsage bool, wantOutput int64) string {
	a.input, a.output = unknown, unknown
	if i := bytes.LastIndex(a.body, usageMark); i >= 0 {
		usage := a.body[i+len(usageMark)-1:]
		if n := gjson.GetBytes(usage, "prompt_tokens"); n.Type == gjson.Number {
			a.input = n.Int()
		}
		if n := gjson.GetBytes(usage, "completion_tokens"); n.Type == gjson.Number {
			a.output = n.Int()
		}
	}
	switch {
	case a.status < 200 || a.status > 299:
		return statusClass(a.status)
	case a.stream != wantStream:
		return "wrong_type"
	case a.stream && bytes.Contains(a.body, errorMark):
		return "error_event"
	case a.stream && !bytes.HasSuffix(a.body, doneMark):
		return "no_done"
	case !a.stream && !gjson.ValidBytes(a.body):
		return "not_json"
	case wantUsage && (a.input < 0 || a.output < 0):
		return "no_usage"
	case wantUsage && wantOutput > 0 && a.output != wantOutput:
		return "wrong_tokens"
	}
	return ""
}

// sum identifies the bytes of the body.
func (a *answer) sum() uint64 { return xxhash.Sum64(a.body) }

// statusClasses are made once: counting an error must not cost more than an answer.
var statusClasses = func() (names [600]string) {
	for i := range names {
		names[i] = "status_" + string([]byte{'0' + byte(i/100), '0' + byte(i/10%10), '0' + byte(i%10)})
	}
	return names
}()

func statusClass(status int) string {
	if status < 0 || status >= len(statusClasses) {
		return "malformed"
	}
	return statusClasses[status]
}
