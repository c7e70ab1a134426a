package simulator

import (
	"strconv"
	"strings"
)

// createdAt is when every answer says it was made: the same request must give
// the same bytes.
const createdAt = "1763800000"

// fingerprint is the system_fingerprint of every answer.
const fingerprint = "fp_simulator"

// vocabulary holds the words of answers, escaped for JSON. One token is one word
// with the space before it, about four bytes, as with real tokenizers. Some are
// not ASCII or need escapes, so that a reader that mishandles them is found out.
var vocabulary = [64]string{}

func init() {
	words := strings.Fields(`the of and to in is it you that he was for on are as with his they at be this from
		have or by one had not but what all were when we there can an your which their said if do will each
		how them then she many some so these would other into has more two naïve → \"so\" \\ no.\n`)
	if len(words) != len(vocabulary) {
		panic("BUG: the vocabulary has " + strconv.Itoa(len(words)) + " words")
	}
	copy(vocabulary[:], words)
}

// answer is what the simulator says to one request. All of it follows from the
// request and the behaviour.
type answer struct {
	id           uint64
	model        string
	choices      int
	promptTokens int
	cachedTokens int
	// tokens and reasoningTokens are those of one choice.
	tokens          int
	reasoningTokens int
	finishReason    string
	metered         bool
	voices          [choicesMax]draws
}

func answerTo(req *chatRequest, b *Behaviour) answer {
	a := answer{
		id: mix(req.digest), model: req.model, choices: req.choices, metered: true, finishReason: "stop",
		promptTokens: req.promptTokens, cachedTokens: min(b.CachedTokens, req.promptTokens),
		tokens: b.Tokens, reasoningTokens: b.ReasoningTokens,
	}
	if a.tokens == 0 {
		a.tokens = 48 + int(req.digest%33)
	}
	if req.outputMax > 0 && a.tokens+a.reasoningTokens > req.outputMax {
		// As at the provider, reasoning comes first and counts against the limit.
		a.reasoningTokens = min(a.reasoningTokens, req.outputMax)
		a.tokens = req.outputMax - a.reasoningTokens
		a.finishReason = "length"
	}
	for i := range a.choices {
		a.voices[i] = drawsFor(req.digest, uint64(i))
	}
	return a
}

// outputTokens is what the provider would bill as output.
func (a *answer) outputTokens() int { return a.choices * (a.tokens + a.reasoningTokens) }

// appendWords appends the next n tokens of a choice; the very first one has no
// space before it.
func (a *answer) appendWords(dst []byte, choice, n int, first bool) []byte {
	for i := range n {
		if i > 0 || !first {
			dst = append(dst, ' ')
		}
		dst = append(dst, vocabulary[a.voices[choice].next()%uint64(len(vocabulary))]...)
	}
	return dst
}

// appendHead appends the fields that a whole answer and each chunk begin with.
func (a *answer) appendHead(dst []byte, object string) []byte {
	dst = append(dst, `{"id":"chatcmpl-`...)
	dst = appendHex(dst, a.id)
	dst = append(dst, `","object":"`...)
	dst = append(dst, object...)
	dst = append(dst, `","created":`+createdAt+`,"model":`...)
	dst = appendJSONString(dst, a.model)
	return append(dst, `,"service_tier":"default","system_fingerprint":"`+fingerprint+`","choices":[`...)
}

// appendJSON appends the answer as one JSON object.
func (a *answer) appendJSON(dst []byte) []byte {
	dst = a.appendHead(dst, "chat.completion")
	for i := range a.choices {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"index":`...)
		dst = strconv.AppendInt(dst, int64(i), 10)
		dst = append(dst, `,"message":{"role":"assistant","content":"`...)
		dst = a.appendWords(dst, i, a.tokens, true)
		dst = append(dst, `","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"`...)
		dst = append(dst, a.finishReason...)
		dst = append(dst, `"}`...)
	}
	dst = append(dst, ']')
	if a.metered {
		dst = append(dst, `,"usage":`...)
		dst = a.appendUsage(dst)
	}
	return append(dst, '}')
}

func (a *answer) appendUsage(dst []byte) []byte {
	output := a.outputTokens()
	field := func(name string, n int) {
		dst = append(dst, name...)
		dst = strconv.AppendInt(dst, int64(n), 10)
	}
	field(`{"prompt_tokens":`, a.promptTokens)
	field(`,"completion_tokens":`, output)
	field(`,"total_tokens":`, a.promptTokens+output)
	field(`,"prompt_tokens_details":{"cached_tokens":`, a.cachedTokens)
	field(`,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":`, a.choices*a.reasoningTokens)
	return append(dst, `,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`...)
}

const hexDigits = "0123456789abcdef"

// appendHex appends 16 hexadecimal digits.
func appendHex(dst []byte, n uint64) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[n>>shift&15])
	}
	return dst
}

// appendJSONString appends a JSON string. Bytes that are not UTF-8 stay as they are.
func appendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
