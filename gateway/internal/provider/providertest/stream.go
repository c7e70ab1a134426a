package providertest

import (
	"fmt"
	"testing"

	"github.com/tallygate/tallygate/gateway/internal/dialect/openai"
	"github.com/tallygate/tallygate/gateway/internal/llm"
	"github.com/tallygate/tallygate/gateway/internal/provider"
)

// event is an event as golden files have it.
type event struct {
	Kind        string `json:"kind"`
	Raw         string `json:"raw"`
	OutputBytes int    `json:"output_bytes,omitempty"`
	Usage       string `json:"usage,omitempty"`
	Error       string `json:"error,omitempty"`
}

// Stream is what a decoder made of a stream.
type Stream struct {
	Events       []event        `json:"events"`
	FinishReason string         `json:"finish_reason"`
	Usage        map[string]any `json:"usage"`
	Error        string         `json:"error,omitempty"`
	// Left is what no event was found in.
	Left string `json:"left,omitempty"`

	client []byte
}

func (c *testCase) stream(req *llm.Request) bool {
	wire := c.read("upstream.sse")
	if wire == nil {
		return false
	}
	got := Decode(c.t, c.provider, req, wire, len(wire))
	c.goldenJSON("events.json", got)
	c.golden("client.sse", got.client)
	for size := range 70 {
		SameEvents(c.t, c.provider, wire, size+1)
	}
	return true
}

// Decode feeds a stream to a decoder in pieces of the given size.
func Decode(t *testing.T, p provider.Provider, req *llm.Request, wire []byte, size int) *Stream {
	t.Helper()
	d := p.NewDecoder()
	defer d.Release()
	s := &Stream{}
	var buf []byte
	ended := false
	for s.Error == "" {
		ev, n, err := d.Next(buf)
		switch {
		case err != nil:
			s.Error = err.Error()
		case n < 0 || n > len(buf):
			t.Fatalf("unexpected progress; got %d of %d bytes", n, len(buf))
		case n > 0:
			s.add(t, &ev, req)
			// The caller's buffer is used again.
			buf = append([]byte(nil), buf[n:]...)
		case len(wire) > 0:
			size = min(max(size, 1), len(wire))
			buf, wire = append(buf, wire[:size]...), wire[size:]
		case len(buf) > 0 && !ended:
			buf, ended = append(buf, "\n\n"...), true
		default:
			s.Left = string(buf)
			s.FinishReason = string(d.FinishReason())
			checkUsage(t, d.Usage())
			s.Usage = usageOf(d.Usage())
			return s
		}
	}
	return s
}

func (s *Stream) add(t *testing.T, ev *llm.Event, req *llm.Request) {
	t.Helper()
	at := ev.UsageAt
	if at.Start < 0 || at.Start > at.End || at.End > len(ev.Raw) {
		t.Fatalf("unexpected place of usage in %q: %+v", ev.Raw, at)
	}
	names := map[llm.EventKind]string{llm.EventOther: "other", llm.EventContent: "content", llm.EventUsage: "usage", llm.EventDone: "done", llm.EventError: "error"}
	s.Events = append(s.Events, event{names[ev.Kind], string(ev.Raw), ev.OutputBytes, string(ev.Raw[at.Start:at.End]), ev.Error})
	s.client = openai.AppendEvent(s.client, ev, req)
}

// SameEvents fails if pieces of another size make other events.
func SameEvents(t *testing.T, p provider.Provider, wire []byte, size int) {
	t.Helper()
	var req llm.Request
	whole, cut := Decode(t, p, &req, wire, len(wire)), Decode(t, p, &req, wire, size)
	if a, b := fmt.Sprintf("%+v", whole), fmt.Sprintf("%+v", cut); a != b {
		t.Fatalf("unexpected events in pieces of %d bytes\ngot\n%s\nwant\n%s", size, b, a)
	}
}

// checkUsage asserts what holds for every provider's usage.
func checkUsage(t *testing.T, u *llm.Usage) {
	t.Helper()
	if u.CacheRead+u.CacheWrite5m+u.CacheWrite1h > u.Input || u.Reasoning > u.Output {
		t.Fatalf("unexpected usage, a part is larger than its whole: %+v", *u)
	}
}

// usageOf lists the counts that are known.
func usageOf(u *llm.Usage) map[string]any {
	m := map[string]any{}
	add := func(bit llm.UsageBits, name string, n uint64) {
		if u.Known&bit != 0 {
			m[name] = n
		} else if n != 0 {
			m[name+" (unknown)"] = n
		}
	}
	add(llm.KnownInput, "input", u.Input)
	add(llm.KnownOutput, "output", u.Output)
	add(llm.KnownCacheRead, "cache_read", u.CacheRead)
	add(llm.KnownCacheWrite, "cache_write_5m", u.CacheWrite5m)
	add(llm.KnownReasoning, "reasoning", u.Reasoning)
	return m
}
