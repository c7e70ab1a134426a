package check

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/tallygate/tallygate/schemas/event"
)

// answer is a line of what `load -record` writes.
type answer struct {
	ID     string `json:"id"`
	Status int    `json:"status"`
	// Class is what was wrong with the answer; empty if it was whole and right.
	Class string `json:"class"`
	// Input and Output are missing where the answer did not tell.
	Input  *int64 `json:"input"`
	Output *int64 `json:"output"`
}

// Answers counts what clients got.
type Answers struct {
	All, Succeeded, Partial int64
	Input, Output           int64
}

// CompareAnswers compares what clients got, a line of JSON each, with the log: every
// successful answer has exactly one final record, with the same tokens. Of an answer
// that was cut, the request must be known and ended.
func (l *Log) CompareAnswers(r io.Reader, f *Findings) (Answers, error) {
	var sum Answers
	seen := map[event.ID]bool{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for number := 1; lines.Scan(); number++ {
		if len(lines.Bytes()) == 0 {
			continue
		}
		var a answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			return sum, fmt.Errorf("line %d of the record is wrong: %w", number, err)
		}
		sum.All++
		if a.Status < 200 || a.Status > 299 {
			continue
		}
		id, err := parseID(a.ID)
		if err != nil {
			f.add("answers: no request id", "line %d: status %d with x-request-id %q", number, a.Status, a.ID)
			continue
		}
		if seen[id] {
			f.add("answers: id twice", "line %d: request %s", number, id)
		}
		seen[id] = true
		l.compareAnswer(&a, id, &sum, f)
	}
	if err := lines.Err(); err != nil {
		return sum, fmt.Errorf("cannot read the record: %w", err)
	}
	return sum, nil
}

func (l *Log) compareAnswer(a *answer, id event.ID, sum *Answers, f *Findings) {
	r := l.requests[id]
	if r == nil {
		f.add("answers: request missing", "request %s was answered with %d; the log does not know it", id, a.Status)
		return
	}
	if a.Class != "" {
		sum.Partial++
		if r.row() == nil && r.provisional == nil {
			f.add("answers: no end", "request %s was answered in part (%s); the log has no end of it", id, a.Class)
		}
		return
	}
	sum.Succeeded++
	if a.Input == nil || a.Output == nil {
		if r.row() == nil && r.provisional == nil {
			f.add("answers: no end", "request %s was answered with %d; the log has no end of it", id, a.Status)
		}
		return
	}
	sum.Input += *a.Input
	sum.Output += *a.Output
	switch {
	case r.final == nil:
		f.add("answers: not completed", "request %s was answered in full; the log has no final record of it", id)
	case r.final.kind == "denied":
		f.add("answers: denied", "request %s was answered in full; the log says that it was denied", id)
	case r.final.sums.Input != *a.Input || r.final.sums.Output != *a.Output:
		f.add("answers: tokens differ", "request %s: the client got %d and %d tokens; the log has %d and %d",
			id, *a.Input, *a.Output, r.final.sums.Input, r.final.sums.Output)
	}
}

// parseID reads a UUID.
func parseID(text string) (event.ID, error) {
	var id event.ID
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("%q is not a UUID", text)
	}
	return event.ID(b), nil
}
