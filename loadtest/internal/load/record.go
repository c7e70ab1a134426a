package load

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
)

// Recorder writes one line of JSON for each answer, for the checker. It is safe
// for concurrent use.
type Recorder struct {
	mu   sync.Mutex
	file *os.File
	w    *bufio.Writer
	line []byte
	err  error
}

// NewRecorder makes or empties the file.
func NewRecorder(path string) (*Recorder, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("cannot record answers: %w", err)
	}
	return &Recorder{file: f, w: bufio.NewWriterSize(f, 1<<20)}, nil
}

// add writes the answer. Class is what is wrong with it, or "". A line says
//
//	{"id":"<x-request-id>","target":"gateway","status":200,"class":"","stream":false,"input":20,"output":60,"sum":"<of the body>"}
//
// where input and output are missing if the answer did not tell them.
func (r *Recorder) add(target string, c *call, a *answer, class string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := append(r.line[:0], `{"id":`...)
	b = appendString(b, string(a.requestID))
	b = append(b, `,"target":`...)
	b = appendString(b, target)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(a.status), 10)
	b = append(b, `,"class":`...)
	b = appendString(b, class)
	b = append(b, `,"stream":`...)
	b = strconv.AppendBool(b, c.stream)
	if a.input >= 0 && a.output >= 0 && class == "" {
		b = append(b, `,"input":`...)
		b = strconv.AppendInt(b, a.input, 10)
		b = append(b, `,"output":`...)
		b = strconv.AppendInt(b, a.output, 10)
	}
	b = append(b, `,"sum":"`...)
	b = strconv.AppendUint(b, a.sum(), 16)
	b = append(b, "\"}\n"...)
	r.line = b
	if _, err := r.w.Write(b); err != nil && r.err == nil {
		r.err = err
	}
}

// appendString appends a JSON string.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic("BUG: a string can be encoded: " + err.Error())
			}
			return append(dst, quoted...)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}

// Close writes what is buffered. Its error is the first that writing met.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := errors.Join(r.err, r.w.Flush(), r.file.Close()); err != nil {
		return fmt.Errorf("cannot record answers: %w", err)
	}
	return nil
}
