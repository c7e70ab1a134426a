package simulator

import (
	"encoding/binary"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/tidwall/gjson"
)

// tokensPerMessage is what each message costs beside its text, as roles and
// separators do at the real provider.
const tokensPerMessage = 3

// choicesMax bounds n.
const choicesMax = 8

// chatRequest is what the simulator reads of a chat completion request.
type chatRequest struct {
	// model is the name without directives: "gpt-x@tokens=5" is model "gpt-x".
	model           string
	modelDirectives string
	user            string
	metadata        string // metadata.sim
	stream          bool
	includeUsage    bool
	obfuscate       bool
	choices         int
	// outputMax is max_completion_tokens or max_tokens; 0 if neither is there.
	outputMax int
	// promptTokens is the sum over messages of ceil(bytes of text / 4) + 3.
	promptTokens int
	// digest depends on the model and on roles and texts of the messages, but not
	// on how the JSON was written.
	digest uint64
}

// knownFields are the request fields that the provider's API documents; it refuses others.
var knownFields = map[string]bool{}

func init() {
	for _, field := range strings.Fields(`model messages audio frequency_penalty function_call functions logit_bias logprobs
		max_completion_tokens max_tokens metadata modalities moderation n parallel_tool_calls prediction presence_penalty
		prompt_cache_key prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier seed
		service_tier stop store stream stream_options temperature tool_choice tools top_logprobs top_p user verbosity
		web_search_options`) {
		knownFields[field] = true
	}
}

// parseChat reads a request body. A nil refusal means that the request is valid.
// obfuscate is what holds where the request says nothing of obfuscation. The
// result shares no memory with body.
func parseChat(body []byte, allowUnknown, obfuscate bool) (chatRequest, *refusal) {
	req := chatRequest{choices: 1, obfuscate: obfuscate}
	if !gjson.ValidBytes(body) {
		return req, invalid("", "We could not parse the JSON body of your request.")
	}
	root := gjson.ParseBytes(body)
	if !root.IsObject() {
		return req, invalid("", "The JSON body of your request must be an object.")
	}
	var wrong *refusal
	var messages gjson.Result
	limits, streamOptions := 0, false
	root.ForEach(func(key, value gjson.Result) bool {
		switch name := key.Str; name {
		case "model":
			if wrong = want(value, gjson.String, name, "a string"); wrong == nil {
				model, directives, _ := strings.Cut(value.Str, "@")
				req.model, req.modelDirectives = strings.Clone(model), strings.Clone(directives)
			}
		case "messages":
			messages = value
		case "user":
			if value.Type != gjson.Null {
				wrong = want(value, gjson.String, name, "a string")
			}
			req.user = strings.Clone(value.Str)
		case "metadata":
			req.metadata = strings.Clone(value.Get("sim").Str)
		case "stream":
			req.stream = value.Type == gjson.True
			if !value.IsBool() && value.Type != gjson.Null {
				wrong = invalid(name, "Invalid type for 'stream': expected a boolean.")
			}
		case "stream_options":
			streamOptions = value.IsObject()
			req.includeUsage = value.Get("include_usage").Type == gjson.True
			if asked := value.Get("include_obfuscation"); asked.IsBool() {
				req.obfuscate = asked.Bool()
			}
		case "max_tokens", "max_completion_tokens":
			if value.Type == gjson.Null {
				break
			}
			limits++
			req.outputMax, wrong = wholeNumber(value, name, tokensMax)
		case "n":
			if value.Type != gjson.Null {
				req.choices, wrong = wholeNumber(value, name, choicesMax)
			}
		default:
			if !allowUnknown && !knownFields[name] {
				wrong = invalid(name, "Unknown parameter: '"+name+"'.")
			}
		}
		return wrong == nil
	})
	switch {
	case wrong != nil:
		return req, wrong
	case req.model == "":
		return req, invalid("model", "you must provide a model parameter")
	case !messages.IsArray() || len(messages.Raw) < 3 || !messages.Get("0").Exists():
		return req, invalid("messages", "Invalid type for 'messages': expected an array with at least one message.")
	case limits > 1:
		return req, invalid("max_tokens", "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.")
	case streamOptions && !req.stream:
		return req, invalid("stream_options", "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
	}
	return req, req.readMessages(messages)
}

func (req *chatRequest) readMessages(messages gjson.Result) *refusal {
	var wrong *refusal
	var digest xxhash.Digest
	digest.Reset()
	digest.WriteString(req.model)
	field := func(s string) {
		var size [8]byte
		binary.LittleEndian.PutUint64(size[:], uint64(len(s)))
		digest.Write(size[:])
		digest.WriteString(s)
	}
	messages.ForEach(func(_, message gjson.Result) bool {
		role := message.Get("role")
		if role.Type != gjson.String || role.Str == "" {
			wrong = invalid("messages", "Missing required parameter: 'messages[].role'.")
			return false
		}
		field(role.Str)
		size := 0
		switch content := message.Get("content"); {
		case content.Type == gjson.String:
			size = len(content.Str)
			field(content.Str)
		case content.IsArray():
			content.ForEach(func(_, part gjson.Result) bool {
				text := part.Raw
				if part.Get("type").Str == "text" {
					text = part.Get("text").Str
				}
				size += len(text)
				field(text)
				return true
			})
		}
		req.promptTokens += (size+3)/4 + tokensPerMessage
		return true
	})
	req.digest = digest.Sum64()
	return wrong
}

func want(value gjson.Result, kind gjson.Type, field, what string) *refusal {
	if value.Type == kind {
		return nil
	}
	return invalid(field, "Invalid type for '"+field+"': expected "+what+".")
}

func wholeNumber(value gjson.Result, field string, high int) (int, *refusal) {
	n := int(value.Num)
	if value.Type != gjson.Number || float64(n) != value.Num || n < 1 {
		return 0, invalid(field, "Invalid value for '"+field+"': expected a whole number of at least 1.")
	}
	return min(n, high), nil
}
