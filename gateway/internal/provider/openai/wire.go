package openai

import (
	"bytes"
	"unicode/utf8"

	"github.com/tallygate/tallygate/gateway/internal/llm"
	"github.com/tallygate/tallygate/gateway/internal/scan"
)

// countMax bounds a count of tokens that is believed, so that costs never overflow.
const countMax = 1 << 40

// tokens are the counts of a usage object, as far as they are there.
type tokens struct {
	input, cacheRead, cacheHit, cacheWrite, output, reasoning count
}

type count struct {
	n     uint64
	known bool
}

func readCount(r *scan.Reader) (c count) {
	n, ok := r.Uint()
	if !ok || n > countMax {
		return count{}
	}
	return count{n, true}
}

// readUsage takes a usage object. Anything else is taken too and has no counts.
func readUsage(r *scan.Reader) (t tokens) {
	if r.Kind() != scan.Object {
		r.Skip()
		return t
	}
	for ok := r.Enter(scan.Object); ok && r.Field(); {
		switch string(r.Key()) {
		case "prompt_tokens":
			t.input = readCount(r)
		case "completion_tokens":
			t.output = readCount(r)
		case "prompt_cache_hit_tokens":
			// DeepSeek, also where it reports cached_tokens.
			t.cacheHit = readCount(r)
		case "prompt_tokens_details":
			if r.Kind() != scan.Object {
				r.Skip()
				continue
			}
			for ok := r.Enter(scan.Object); ok && r.Field(); {
				switch string(r.Key()) {
				case "cached_tokens":
					t.cacheRead = readCount(r)
				case "cache_write_tokens":
					t.cacheWrite = readCount(r)
				default:
					r.Skip()
				}
			}
		case "completion_tokens_details":
			if r.Kind() != scan.Object {
				r.Skip()
				continue
			}
			for ok := r.Enter(scan.Object); ok && r.Field(); {
				if string(r.Key()) == "reasoning_tokens" {
					t.reasoning = readCount(r)
				} else {
					r.Skip()
				}
			}
		default:
			r.Skip()
		}
	}
	return t
}

// apply replaces the counts of u that t knows: they are totals, and the latest wins.
// A part is never larger than its whole, whatever the provider says.
func (t *tokens) apply(u *llm.Usage) {
	set := func(dst *uint64, c count, bit llm.UsageBits) {
		if c.known {
			*dst = c.n
			u.Known |= bit
		}
	}
	if !t.cacheRead.known {
		t.cacheRead = t.cacheHit
	}
	set(&u.Input, t.input, llm.KnownInput)
	set(&u.Output, t.output, llm.KnownOutput)
	set(&u.CacheRead, t.cacheRead, llm.KnownCacheRead)
	set(&u.CacheWrite5m, t.cacheWrite, llm.KnownCacheWrite)
	set(&u.Reasoning, t.reasoning, llm.KnownReasoning)
	u.CacheRead = min(u.CacheRead, u.Input)
	u.CacheWrite5m = min(u.CacheWrite5m, u.Input-u.CacheRead)
	u.Reasoning = min(u.Reasoning, u.Output)
}

// choice is what is learned of one member of choices.
type choice struct {
	finish []byte
	// bytes is the size of generated text and tool arguments.
	bytes int
	// content says that there is something generated, be it without text, as audio is.
	content bool
}

// readChoices takes the array of choices, of an answer or of a chunk, and adds them
// up; finish is of the choice with index 0, or else of the first without an index.
func readChoices(r *scan.Reader) (sum choice, n int) {
	if !r.Enter(scan.Array) {
		return choice{}, 0
	}
	for ; r.Element(); n++ {
		if r.Kind() != scan.Object {
			r.Skip()
			continue
		}
		c, index := readChoice(r, uint64(n))
		sum.bytes += c.bytes
		sum.content = sum.content || c.content
		if index == 0 && c.finish != nil {
			sum.finish = c.finish
		}
	}
	return sum, n
}

func readChoice(r *scan.Reader, position uint64) (c choice, index uint64) {
	index = position
	for ok := r.Enter(scan.Object); ok && r.Field(); {
		switch string(r.Key()) {
		case "index":
			if v, ok := r.Uint(); ok {
				index = v
			}
		case "finish_reason":
			c.finish = finishReason(r.Text())
		case "message", "delta":
			readMessage(r, &c)
		default:
			r.Skip()
		}
	}
	c.content = c.content || c.bytes > 0
	return c, index
}

// readMessage takes a message, or a delta of one.
func readMessage(r *scan.Reader, c *choice) {
	if r.Kind() != scan.Object {
		r.Skip()
		return
	}
	// Providers name their reasoning text differently, and some say it twice.
	reasoning := 0
	for ok := r.Enter(scan.Object); ok && r.Field(); {
		switch string(r.Key()) {
		case "content", "refusal":
			c.bytes += contentLen(r)
		case "reasoning_content", "reasoning":
			reasoning = max(reasoning, contentLen(r))
		case "tool_calls", "function_call":
			c.bytes += callsLen(r)
		case "audio":
			c.content = c.content || r.Kind() == scan.Object
			c.bytes += contentLen(r)
		default:
			r.Skip()
		}
	}
	c.bytes += reasoning
}

// contentLen takes a text, or an array or object of parts as Mistral has it, and
// returns the size of the text in it.
func contentLen(r *scan.Reader) (n int) {
	switch r.Kind() {
	case scan.String:
		return r.TextLen()
	case scan.Array:
		for ok := r.Enter(scan.Array); ok && r.Element(); {
			n += contentLen(r)
		}
	case scan.Object:
		for ok := r.Enter(scan.Object); ok && r.Field(); {
			switch string(r.Key()) {
			case "text", "thinking", "transcript":
				n += contentLen(r)
			default:
				r.Skip()
			}
		}
	default:
		r.Skip()
	}
	return n
}

// callsLen takes tool_calls or function_call and returns the size of names and arguments.
func callsLen(r *scan.Reader) (n int) {
	switch r.Kind() {
	case scan.Array:
		for ok := r.Enter(scan.Array); ok && r.Element(); {
			n += callsLen(r)
		}
	case scan.Object:
		for ok := r.Enter(scan.Object); ok && r.Field(); {
			switch string(r.Key()) {
			case "name", "arguments", "input":
				n += contentLen(r)
			case "function", "custom":
				n += callsLen(r)
			default:
				r.Skip()
			}
		}
	default:
		r.Skip()
	}
	return n
}

// reasonMaxBytes is the longest finish reason and model name that is believed.
const reasonMaxBytes, modelMaxBytes = 32, 256

var wordStop, wordLength, wordToolCalls = []byte("stop"), []byte("length"), []byte("tool_calls")

// finishReason is a reason in OpenAI's words, where a compatible provider has others.
func finishReason(said []byte) []byte {
	switch string(said) {
	case "":
		return nil
	case "eos":
		return wordStop
	case "model_length":
		return wordLength
	case "function_call":
		return wordToolCalls
	}
	return sane(said, reasonMaxBytes)
}

// sane is s if it is short and UTF-8, so that it can go into events; else nil.
func sane(s []byte, mostBytes int) []byte {
	if len(s) > mostBytes || !utf8.Valid(s) || bytes.IndexByte(s, 0) >= 0 {
		return nil
	}
	return s
}
