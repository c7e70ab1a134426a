package openai

import (
	"bufio"
	"bytes"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/tallygate/tallygate/gateway/internal/llm"
	"github.com/tallygate/tallygate/gateway/internal/provider"
)

// TestCredentialCannotAddHeaders has a secret with line ends, as from a file that was
// pasted badly: the head must hold no line that the secret made.
func TestCredentialCannotAddHeaders(t *testing.T) {
	req := llm.Request{Body: []byte(`{"model":"m"}`), Model: []byte("m"), UpstreamModel: "m"}
	var up fasthttp.Request
	if err := New().Encode(&up, &req, baseURL, provider.NewCredential("sk\r\nX-Admin: yes\n\nX")); err != nil {
		t.Fatalf("cannot encode: %s", err)
	}
	var wire bytes.Buffer
	w := bufio.NewWriter(&wire)
	if err := up.Write(w); err != nil {
		t.Fatalf("cannot write: %s", err)
	}
	_ = w.Flush()
	head, body, _ := bytes.Cut(wire.Bytes(), []byte("\r\n\r\n"))
	if bytes.Contains(head, []byte("\nX-Admin")) || string(body) != `{"model":"m"}` {
		t.Fatalf("unexpected request:\n%s", wire.Bytes())
	}
}

const baseURL = "https://upstream.example/v1"
