//go:build !race

package openai

import (
	"os"
	"testing"

	"github.com/valyala/fasthttp"

	dialect "github.com/tallygate/tallygate/gateway/internal/dialect/openai"
	"github.com/tallygate/tallygate/gateway/internal/llm"
	"github.com/tallygate/tallygate/gateway/internal/provider"
)

func TestAllocations(t *testing.T) {
	read := func(path string) []byte {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("cannot read: %s", err)
		}
		return b
	}
	wire, answer := read("testdata/stream/upstream.sse"), read("testdata/chat/upstream.json")
	var req llm.Request
	if p := dialect.Parse(&req, read("testdata/stream/client.json")); p != nil {
		t.Fatalf("cannot parse: %s", p.Message)
	}
	req.UpstreamModel = "gpt-5"
	var api provider.Provider = New()
	cred := provider.NewCredential("sk-test")
	up := &fasthttp.Request{}
	f := func(what string, run func()) {
		t.Helper()
		run()
		if n := testing.AllocsPerRun(1000, run); n != 0 {
			t.Fatalf("unexpected allocations per %s; got %v; want 0", what, n)
		}
	}
	f("Encode", func() {
		up.Reset()
		if err := api.Encode(up, &req, "https://api.openai.com/v1", cred); err != nil {
			t.Fatal(err)
		}
	})
	var out llm.Answer
	f("Decode", func() {
		if err := api.Decode(&out, answer); err != nil {
			t.Fatal(err)
		}
	})
	f("stream", func() {
		d := api.NewDecoder()
		for p := wire; len(p) > 0; {
			_, n, err := d.Next(p)
			if n == 0 || err != nil {
				t.Fatalf("unexpected end: %d, %v", n, err)
			}
			p = p[n:]
		}
		d.Release()
	})
}
