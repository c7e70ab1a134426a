package openai

import (
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/tallygate/tallygate/gateway/internal/llm"
	"github.com/tallygate/tallygate/gateway/internal/provider/providertest"
)

var noHeader fasthttp.ResponseHeader

func TestProvider(t *testing.T) { providertest.Run(t, New()) }

func FuzzDecoder(f *testing.F) {
	f.Add([]byte("data: {\"choices\":[{\"delta\":{\"content\":\"A\"}}],\"usage\":{\"prompt_tokens\":1}}\n\ndata: [DONE]\n\n"), 3)
	f.Add([]byte("\ufeff: c\r\n\r\nevent: error\rdata:{\"error\":1}\r\rdata: {\ndata: }\n\n"), 1)
	f.Add([]byte("data: {\"usage\":{},\"x_groq\":{\"usage\":{\"completion_tokens\":2}}}\r\n\r"), 7)
	f.Fuzz(func(t *testing.T, wire []byte, size int) { providertest.SameEvents(t, New(), wire, size) })
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"choices":[{"index":0,"message":{"content":[{"text":"A"}],"tool_calls":[{"function":{"name":"f"}}]}}],"usage":{"prompt_tokens":1}}`))
	f.Add([]byte(`[{"error":{"message":{"detail":1},"code":"\u0000","details":[{"retryDelay":"9s"}]}}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var out llm.Answer
		if err := New().Decode(&out, body); err == nil && out.OutputBytes > len(body) {
			t.Fatalf("unexpected size of the output in %q; got %d", body, out.OutputBytes)
		}
		if e := New().DecodeError(400, &noHeader, body); e == nil || e.Class == "" || len(e.Message) > messageMaxBytes {
			t.Fatalf("unexpected error for %q: %+v", body, e)
		}
	})
}
