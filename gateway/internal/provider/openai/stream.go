package openai

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/tallygate/tallygate/gateway/internal/llm"
	"github.com/tallygate/tallygate/gateway/internal/provider"
	"github.com/tallygate/tallygate/gateway/internal/scan"
)

// decoder reads one stream of chat completion chunks.
type decoder struct {
	sse    provider.SSE
	usage  llm.Usage
	finish []byte
	// raw is where an event is written anew whose data came in several lines.
	raw []byte
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

func getDecoder() *decoder { return decoders.Get().(*decoder) }

// rawCapMax is the largest buffer that is kept with a pooled decoder, in bytes.
const rawCapMax = 64 << 10

func (d *decoder) reset() {
	d.sse.Reset()
	d.usage = llm.Usage{}
	d.finish = d.finish[:0]
	if d.raw = d.raw[:0]; cap(d.raw) > rawCapMax {
		d.raw = nil
	}
}

// Release implements provider.Decoder.
func (d *decoder) Release() {
	d.reset()
	decoders.Put(d)
}

// Usage implements provider.Decoder.
func (d *decoder) Usage() *llm.Usage { return &d.usage }

// FinishReason implements provider.Decoder.
func (d *decoder) FinishReason() []byte { return d.finish }

var (
	wordDone  = []byte("[DONE]")
	wordError = []byte("error")
)

// Next implements provider.Decoder.
func (d *decoder) Next(p []byte) (ev llm.Event, n int, err error) {
	b, n := d.sse.Next(p)
	if n == 0 {
		return llm.Event{}, 0, nil
	}
	ev.Raw = b.Raw
	data := bytes.TrimSpace(b.Data)
	switch {
	case bytes.Equal(b.Name, wordError):
		ev.Kind, ev.Error = llm.EventError, readError(data).message
		return ev, n, nil
	case len(data) == 0:
		return ev, n, nil
	case bytes.Equal(data, wordDone):
		ev.Kind = llm.EventDone
		return ev, n, nil
	}
	data, at := b.Data, b.DataAt
	if at < 0 {
		at = d.rewrite(&b)
		ev.Raw, data = d.raw, d.raw[at:at+len(data)]
	}
	err = d.chunk(&ev, data, at)
	return ev, n, err
}

// rewrite puts an event with several data lines into d.raw with a single one. Line
// feeds can only be blanks between the tokens of the JSON. It returns where the data is.
func (d *decoder) rewrite(b *provider.Block) (at int) {
	d.raw = d.raw[:0]
	if len(b.Name) > 0 {
		d.raw = append(append(append(d.raw, "event: "...), b.Name...), '\n')
	}
	d.raw = append(d.raw, "data: "...)
	at = len(d.raw)
	d.raw = append(d.raw, b.Data...)
	for i := at; i < len(d.raw); i++ {
		if d.raw[i] == '\n' {
			d.raw[i] = ' '
		}
	}
	d.raw = append(d.raw, "\n\n"...)
	return at
}

// chunk reads the data of one event, which begins at place at of ev.Raw.
func (d *decoder) chunk(ev *llm.Event, data []byte, at int) error {
	var r scan.Reader
	r.ResetLax(data)
	var c choice
	var standard, groq tokens
	choices, usage, failed := 0, false, false
	if k := r.Kind(); k != scan.Object && k != scan.None {
		return errNoObject
	}
	more := r.Enter(scan.Object)
	for first := true; more; first = false {
		before := r.Pos()
		if more = r.Field(); !more {
			break
		}
		switch string(r.Key()) {
		case "choices":
			if r.Kind() != scan.Array {
				r.Skip()
				continue
			}
			c, choices = readChoices(&r)
		case "usage":
			usage = r.Kind() == scan.Object
			standard = readUsage(&r)
			ev.UsageAt = member(data, before, r.Pos(), first, at)
		case "x_groq":
			groq = readGroq(&r)
		case "error":
			failed = failed || r.Kind() != scan.Null
			r.Skip()
		case "object":
			failed = bytes.Equal(r.Text(), wordError) || failed
		default:
			r.Skip()
		}
	}
	r.End()
	if err := r.Err(); err != nil {
		return fmt.Errorf("cannot read an event of the stream as JSON: %w", err)
	}
	groq.apply(&d.usage)
	standard.apply(&d.usage)
	if c.finish != nil {
		d.finish = append(d.finish[:0], c.finish...)
	}
	ev.OutputBytes = c.bytes
	switch {
	case failed:
		ev.Kind, ev.Error = llm.EventError, readError(data).message
	case c.content:
		ev.Kind = llm.EventContent
	case usage && choices == 0:
		ev.Kind = llm.EventUsage
	}
	return nil
}

// member is where a member of an object is, with one comma beside it: the one
// before it, or the one after it if it is the first. from is the end of the member
// before it. The places are in data, which begins at place at of the event.
func member(data []byte, from, to int, first bool, at int) llm.Span {
	if first {
		rest := bytes.TrimLeft(data[to:], " \t\r\n")
		if len(rest) > 0 && rest[0] == ',' {
			to = len(data) - len(rest) + 1
		}
	}
	return llm.Span{Start: at + from, End: at + to}
}
