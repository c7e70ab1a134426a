// Package providertest holds every provider API to its contract by golden files.
//
// A folder testdata/<case> has some of:
//
//	client.json            what a client sends, in OpenAI's dialect; makes
//	upstream_request.txt   what goes to the provider, head and body
//	upstream.json          a complete answer; makes
//	answer.json            what was learned of it, or the error
//	upstream.sse           a streamed answer; makes
//	events.json            its events and what was learned of them, and
//	client.sse             what the client of client.json gets of it
//	upstream_error.txt     a refusal: status line, head, blank line, body; makes
//	error.json             how it was classified
//
// go test -update writes the made files anew; review the difference.
package providertest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/tallygate/tallygate/gateway/internal/dialect/openai"
	"github.com/tallygate/tallygate/gateway/internal/llm"
	"github.com/tallygate/tallygate/gateway/internal/provider"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The fixed facts of the requests that are encoded.
const (
	baseURL = "https://upstream.example/base/v1"
	secret  = "sk-test"
	// upstreamModel is the target's name for the model.
	upstreamModel = "upstream-model"
)

// Run tests p with each folder in testdata.
func Run(t *testing.T, p provider.Provider) {
	cases, err := filepath.Glob("testdata/*")
	if err != nil || len(cases) == 0 {
		t.Fatalf("cannot find cases in testdata: %v", err)
	}
	for _, dir := range cases {
		if filepath.Base(dir) == "fuzz" {
			continue
		}
		t.Run(filepath.Base(dir), func(t *testing.T) {
			c := testCase{t: t, dir: dir, provider: p}
			req := c.request()
			ran := c.encode(req)
			ran = c.decode() || ran
			ran = c.stream(req) || ran
			if !c.refusal() && !ran {
				t.Fatalf("nothing to test in %s", dir)
			}
		})
	}
}

type testCase struct {
	t        *testing.T
	dir      string
	provider provider.Provider
}

// read returns a file of the case, nil if there is none.
func (c *testCase) read(name string) []byte {
	c.t.Helper()
	b, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil && !os.IsNotExist(err) {
		c.t.Fatalf("cannot read: %s", err)
	}
	return b
}

// golden compares with a made file, or writes it.
func (c *testCase) golden(name string, got []byte) {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			c.t.Fatalf("cannot write golden file: %s", err)
		}
		return
	}
	if want := c.read(name); !bytes.Equal(got, want) {
		c.t.Fatalf("unexpected %s; run with -update and review the difference\ngot\n%s\nwant\n%s", path, got, want)
	}
}

func (c *testCase) goldenJSON(name string, got any) {
	c.t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "\t")
	if err := e.Encode(got); err != nil {
		c.t.Fatalf("cannot encode %s: %s", name, err)
	}
	c.golden(name, b.Bytes())
}

// request is the client's; without client.json it is a stream that did not ask for usage.
func (c *testCase) request() *llm.Request {
	req := &llm.Request{Stream: true}
	if body := c.read("client.json"); body != nil {
		if problem := openai.Parse(req, body); problem != nil {
			c.t.Fatalf("cannot parse client.json: %s", problem.Message)
		}
	}
	req.UpstreamModel = upstreamModel
	return req
}

func (c *testCase) encode(req *llm.Request) bool {
	if req.Body == nil {
		return false
	}
	var up fasthttp.Request
	body := bytes.Clone(req.Body)
	for range 2 {
		// The second time into a used request, as in operation.
		up.Reset()
		if err := c.provider.Encode(&up, req, baseURL, provider.NewCredential(secret)); err != nil {
			c.t.Fatalf("cannot encode: %s", err)
		}
	}
	if !bytes.Equal(req.Body, body) {
		c.t.Fatalf("Encode has changed the client's body to %s", req.Body)
	}
	// An upstream may not see the client's memory.
	for i := range req.Body {
		req.Body[i] = 'x'
	}
	defer copy(req.Body, body)
	var wire bytes.Buffer
	w := bufio.NewWriter(&wire)
	if err := up.Write(w); err != nil {
		c.t.Fatalf("cannot write the request: %s", err)
	}
	_ = w.Flush()
	if sent := up.Body(); !json.Valid(sent) {
		c.t.Fatalf("unexpected body, which is not JSON: %s", sent)
	}
	c.golden("upstream_request.txt", bytes.ReplaceAll(wire.Bytes(), []byte("\r\n"), []byte("\n")))
	return true
}

func (c *testCase) decode() bool {
	body := c.read("upstream.json")
	if body == nil {
		return false
	}
	var out llm.Answer
	if err := c.provider.Decode(&out, body); err != nil {
		c.goldenJSON("answer.json", map[string]any{"error": err.Error()})
		return true
	}
	checkUsage(c.t, &out.Usage)
	c.goldenJSON("answer.json", map[string]any{
		"model": string(out.Model), "finish_reason": string(out.FinishReason), "output_bytes": out.OutputBytes, "usage": usageOf(&out.Usage),
	})
	return true
}

func (c *testCase) refusal() bool {
	raw := c.read("upstream_error.txt")
	if raw == nil {
		return false
	}
	head, body, ok := bytes.Cut(raw, []byte("\n\n"))
	if !ok {
		c.t.Fatal("upstream_error.txt has no blank line")
	}
	var h fasthttp.ResponseHeader
	head = append(bytes.ReplaceAll(head, []byte("\n"), []byte("\r\n")), "\r\n\r\n"...)
	if err := h.Read(bufio.NewReader(bytes.NewReader(head))); err != nil {
		c.t.Fatalf("cannot read the head of upstream_error.txt: %s", err)
	}
	c.goldenJSON("error.json", c.provider.DecodeError(h.StatusCode(), &h, body))
	return true
}
