package openai

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tallygate/tallygate/gateway/internal/apierror"
	"github.com/tallygate/tallygate/gateway/internal/llm"
)

const messages = `"messages":[{"role":"user","content":"Hi"}]`

func TestParse(t *testing.T) {
	var req llm.Request
	body := ` {"model":"gpt-5-mini", ` + messages + `, "stream":true, "stream_options": {"include_obfuscation":false,"include_usage":true},
		"max_completion_tokens":300,"n":2,"user":"u-1","metadata":{"model":"other","stream":[false]},"unknown":[1,{"model":2}]}`
	if p := Parse(&req, []byte(body)); p != nil {
		t.Fatalf("unexpected problem: %+v", p)
	}
	cut := func(s llm.Span) string { return body[s.Start:s.End] }
	if string(req.Model) != "gpt-5-mini" || cut(req.ModelAt) != `"gpt-5-mini"` {
		t.Fatalf("unexpected model; got %q at %q", req.Model, cut(req.ModelAt))
	}
	if got, want := cut(req.StreamOptionsAt), `{"include_obfuscation":false,"include_usage":true}`; got != want {
		t.Fatalf("unexpected stream_options; got %s; want %s", got, want)
	}
	if !req.Stream || !req.IncludeUsage || cut(req.IncludeUsageAt) != "true" {
		t.Fatalf("unexpected stream facts: %+v", req)
	}
	if req.OutputTokensMax != 300 || req.Choices != 2 || string(req.EndUser) != "u-1" || req.Wire != llm.OpenAIChat {
		t.Fatalf("unexpected facts: %+v", req)
	}
}

func TestParseDefaults(t *testing.T) {
	f := func(fields string) {
		t.Helper()
		req := llm.Request{Stream: true, OutputTokensMax: 5, UpstreamModel: "left over"}
		if p := Parse(&req, []byte(`{"model":"m",`+messages+fields+`}`)); p != nil {
			t.Fatalf("unexpected problem with %s: %+v", fields, p)
		}
		if req.Stream || req.IncludeUsage || req.OutputTokensMax != 0 || req.Choices != 1 || req.EndUser != nil || req.UpstreamModel != "" {
			t.Fatalf("unexpected facts with %s: %+v", fields, req)
		}
	}
	f("")
	f(`,"stream":null,"stream_options":null,"max_tokens":null,"max_completion_tokens":null,"n":null,"user":null`)
	f(`,"stream":false,"temperature":0.5`)
}

func TestParseResolvesEscapes(t *testing.T) {
	var req llm.Request
	body := `{"mod\u0065l":"gpt\u002d5",` + messages + `,"us\u0065r":"\u00e9"}`
	if p := Parse(&req, []byte(body)); p != nil {
		t.Fatalf("unexpected problem: %+v", p)
	}
	if string(req.Model) != "gpt-5" || body[req.ModelAt.Start:req.ModelAt.End] != `"gpt\u002d5"` || string(req.EndUser) != "é" {
		t.Fatalf("unexpected facts; got model %q, user %q", req.Model, req.EndUser)
	}
}

func TestParseRefuses(t *testing.T) {
	f := func(body, param, message string) {
		t.Helper()
		var req llm.Request
		p := Parse(&req, []byte(body))
		if p == nil {
			t.Fatalf("expected a problem with %s", body)
		}
		if p.Error != apierror.BadRequest || p.Param != param || p.Message != message {
			t.Fatalf("unexpected problem with %s\ngot  %s, %q, %q\nwant %q, %q", body, p.Error.Code, p.Param, p.Message, param, message)
		}
	}
	with := func(fields string) string { return `{"model":"m",` + messages + `,` + fields + `}` }

	f(`[]`, "", "Invalid type for the request body: expected an object, but got an array instead.")
	f(`{}`, "model", "Missing required parameter: 'model'.")
	f(`{"model":"m"}`, "messages", "Missing required parameter: 'messages'.")
	f(`{"model":7,`+messages+`}`, "model", "Invalid type for 'model': expected a string, but got a number instead.")
	f(`{"model":"",`+messages+`}`, "model", "Invalid 'model': empty string. Expected a string with minimum length 1, but got an empty string instead.")
	f(`{"model":"`+strings.Repeat("m", 257)+`",`+messages+`}`, "model", "Invalid 'model': string too long. Expected at most 256 bytes, but got 257 instead.")
	f(`{"model":"m","messages":"Hi"}`, "messages", "Invalid type for 'messages': expected an array of objects, but got a string instead.")
	f(`{"model":"m","messages":[]}`, "messages", "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.")
	f(`{"model":"m","messages":[{"role":"user"},"Hi"]}`, "messages[1]", "Invalid type for 'messages[1]': expected an object, but got a string instead.")
	f(`{"model":"m","messages":[{"content":"Hi"}]}`, "messages[0].role", "Missing required parameter: 'messages[0].role'.")
	f(`{"model":"m","messages":[{"role":null}]}`, "messages[0].role", "Invalid type for 'messages[0].role': expected a string, but got null instead.")
	f(with(`"stream":"true"`), "stream", "Invalid type for 'stream': expected a boolean, but got a string instead.")
	f(with(`"stream_options":{}`), "stream_options", "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
	f(with(`"stream":true,"stream_options":true`), "stream_options", "Invalid type for 'stream_options': expected an object, but got a boolean instead.")
	f(with(`"stream":true,"stream_options":{"include_usage":1}`), "stream_options.include_usage",
		"Invalid type for 'stream_options.include_usage': expected a boolean, but got a number instead.")
	f(with(`"max_tokens":0`), "max_tokens", "Invalid 'max_tokens': integer below minimum value. Expected a value >= 1, but got 0 instead.")
	f(with(`"max_tokens":-5`), "max_tokens", "Invalid 'max_tokens': integer below minimum value. Expected a value >= 1, but got -5 instead.")
	f(with(`"max_tokens":1.5`), "max_tokens", "Invalid 'max_tokens': expected a whole number from 1 to 2147483647, but got 1.5 instead.")
	f(with(`"max_tokens":"9"`), "max_tokens", "Invalid type for 'max_tokens': expected an integer, but got a string instead.")
	f(with(`"max_tokens":3000000000`), "max_tokens", "Invalid 'max_tokens': integer above maximum value. Expected a value <= 2147483647, but got 3000000000 instead.")
	f(with(`"max_tokens":1,"max_completion_tokens":1`), "max_completion_tokens",
		"Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.")
	f(with(`"n":129`), "n", "Invalid 'n': integer above maximum value. Expected a value <= 128, but got 129 instead.")
	f(with(`"user":5`), "user", "Invalid type for 'user': expected a string, but got a number instead.")

	// What the provider's parser might read in another way than this one.
	f(with(`"model":"other"`), "model", "Duplicate parameter: 'model'.")
	f(with(`"mod\u0065l":"other"`), "model", "Duplicate parameter: 'model'.")
	f(with(`"Model":"other"`), "Model", "Unknown parameter: 'Model'. Parameter names are lower case.")
	f(with(`"ſtream":true`), "ſtream", "Unknown parameter: 'ſtream'. Parameter names are lower case.")
	f(with(`"stream":false,"stream":true`), "stream", "Duplicate parameter: 'stream'.")
	f(with(`"stream":true,"stream_options":{"include_usage":false,"include_usage":true}`), "stream_options.include_usage",
		"Duplicate parameter: 'stream_options.include_usage'.")
}

func TestParseRefusesWhatIsNotJSON(t *testing.T) {
	f := func(body, message string) {
		t.Helper()
		var req llm.Request
		p := Parse(&req, []byte(body))
		if p == nil || p.Error != apierror.NotJSON || p.Param != "" || p.Message != message {
			t.Fatalf("unexpected problem with %q; got %+v; want %q", body, p, message)
		}
	}
	const sorry = "We could not parse the JSON body of your request: "
	f("", "The request body is empty; send a JSON object.")
	f(" \n", "The request body is empty; send a JSON object.")
	f("model=m", sorry+"unexpected character at byte 0.")
	f(`{"model":"m",`, sorry+"unexpected end at byte 13.")
	f(`{"model":"m",`+messages+`}x`, sorry+"unexpected character after the end of the JSON value at byte 57.")
	// A mistake in the JSON goes before anything else.
	f(`{"model":7,"n":}`, sorry+"unexpected character at byte 15.")
	f(`{"a":`+strings.Repeat("[", 600), sorry+"nesting is too deep at byte 516.")
}

// FuzzParse holds what Parse found against what encoding/json finds.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"model":"m",` + messages + `,"stream":true,"stream_options":{"include_usage":false},"n":3,"max_tokens":5,"user":"é"}`))
	f.Add([]byte(`{"mod\u0065l":"\ud83d\ude00","messages":[{"role":"user"}],"stream_options":null}`))
	f.Add([]byte(`{"Model":1}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var req llm.Request
		if p := Parse(&req, body); p != nil {
			if p.Message == "" || p.Error == nil {
				t.Fatalf("empty problem with %q: %+v", body, p)
			}
			return
		}
		var want struct {
			Model  string
			Stream bool
			N      *uint64
			User   string
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(body, &fields); err != nil {
			t.Fatalf("accepted %q: %s", body, err)
		}
		for name, into := range map[string]any{"model": &want.Model, "stream": &want.Stream, "n": &want.N, "user": &want.User} {
			if raw, ok := fields[name]; ok {
				if err := json.Unmarshal(raw, into); err != nil {
					t.Fatalf("accepted %s of %q: %s", name, body, err)
				}
			}
		}
		if string(req.Model) != want.Model || req.Stream != want.Stream || string(req.EndUser) != want.User {
			t.Fatalf("unexpected facts of %q; got %+v; want %+v", body, req, want)
		}
		var quoted string
		if err := json.Unmarshal(body[req.ModelAt.Start:req.ModelAt.End], &quoted); err != nil || quoted != want.Model {
			t.Fatalf("unexpected place of the model in %q: %+v", body, req.ModelAt)
		}
		if want.N != nil && req.Choices != *want.N {
			t.Fatalf("unexpected n of %q; got %d; want %d", body, req.Choices, *want.N)
		}
		for _, at := range []llm.Span{req.StreamOptionsAt, req.IncludeUsageAt} {
			if !json.Valid(body[at.Start:at.End]) && !at.IsZero() {
				t.Fatalf("unexpected place in %q: %+v", body, at)
			}
		}
	})
}
