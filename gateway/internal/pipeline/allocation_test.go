//go:build !race

package pipeline_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// allocationsMax is how many allocations a call may cost beyond a bare proxy's:
// the whole handler, with authentication, a budget, two limits, two events in the
// spool, and the connection to the provider.
const allocationsMax = 0.5

func TestAllocationsBeyondABareProxy(t *testing.T) {
	gateway, bare, _ := sideBySide(t)
	// Both warm up: pools fill, connections open.
	gateway.calls(t, 2000)
	bare.calls(t, 2000)
	const n = 5000
	perCall := func(c *rawClient) float64 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		c.calls(t, n)
		runtime.ReadMemStats(&after)
		return float64(after.Mallocs-before.Mallocs) / n
	}
	g, b := perCall(gateway), perCall(bare)
	t.Logf("allocations per call: gateway %.2f, bare proxy %.2f", g, b)
	if g-b > allocationsMax {
		t.Fatalf("unexpected allocations per call; got %.2f, with %.2f for the bare proxy; want at most %.2f more", g, b, allocationsMax)
	}
}

// sideBySide starts the gateway and a bare fasthttp proxy before one provider that
// allocates nothing, and connects to both.
func sideBySide(t testing.TB) (gateway, bare *rawClient, r *rig) {
	t.Helper()
	answer := `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-5-mini","choices":[{"index":0,"message":{"role":"assistant","content":"` +
		strings.Repeat("words ", 60) + `","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":60,"total_tokens":80,` +
		`"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}},"service_tier":"default","system_fingerprint":null}`
	providerAddr := rawProvider(t, answer)
	t.Setenv("TEST_PROVIDER_URL", "http://"+providerAddr+"/v1")
	r = newRig(t, "budgets: [{amount_usd: 1000000, window: month}]\nlimits: [{unit: requests, amount: 100000000, per: 1s}, {unit: tokens, amount: 100000000000, per: 1s}]")

	proxy := &fasthttp.HostClient{Addr: providerAddr, NoDefaultUserAgentHeader: true}
	ln := listen(t)
	bareServer := &fasthttp.Server{NoDefaultDate: true, Handler: func(ctx *fasthttp.RequestCtx) {
		ctx.Request.Header.ResetConnectionClose()
		if err := proxy.Do(&ctx.Request, &ctx.Response); err != nil {
			ctx.Error(err.Error(), 502)
		}
	}}
	go func() { _ = bareServer.Serve(ln) }()
	t.Cleanup(func() { _ = bareServer.Shutdown() })

	body := `{"model":"gpt-5-mini","messages":[{"role":"system","content":"You are helpful."},{"role":"user","content":"` + strings.Repeat("ask ", 85) + `"}]}`
	request := fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nUser-Agent: test\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		r.key, len(body), body)
	dial := func(addr string) *rawClient {
		c, err := net.Dial("tcp", addr)
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return &rawClient{conn: c, request: []byte(request), bodyLen: len(answer), buf: make([]byte, 16<<10)}
	}
	return dial(strings.TrimPrefix(r.url, "http://")), dial(ln.Addr().String()), r
}

// rawProvider answers every request with the same bytes and allocates nothing.
func rawProvider(t testing.TB, answer string) string {
	ln := listen(t)
	t.Cleanup(func() { _ = ln.Close() })
	response := []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer))
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 16<<10)
				n := 0
				for {
					m, err := c.Read(buf[n:])
					if err != nil {
						return
					}
					n += m
					if size := messageLen(buf[:n]); size > 0 && n >= size {
						n = 0
						if _, err := c.Write(response); err != nil {
							return
						}
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// rawClient is an HTTP client that allocates nothing.
type rawClient struct {
	conn    net.Conn
	request []byte
	bodyLen int
	buf     []byte
}

var status200 = []byte("HTTP/1.1 200")

func (c *rawClient) calls(t testing.TB, n int) {
	for range n {
		if err := c.call(); err != nil {
			t.Fatal(err)
		}
	}
}

func (c *rawClient) call() error {
	_ = c.conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	n := 0
	for {
		m, err := c.conn.Read(c.buf[n:])
		if err != nil {
			return err
		}
		n += m
		if size := messageLen(c.buf[:n]); size > 0 && n >= size {
			break
		}
		if n == len(c.buf) {
			return io.ErrShortBuffer
		}
	}
	if !bytes.HasPrefix(c.buf[:n], status200) {
		return fmt.Errorf("unexpected answer: %q", c.buf[:n])
	}
	return nil
}

var (
	headEnd       = []byte("\r\n\r\n")
	contentLength = []byte("Content-Length: ")
)

// messageLen is the length of the HTTP message at the start of b, 0 if its head is not whole.
func messageLen(b []byte) int {
	head := bytes.Index(b, headEnd)
	at := bytes.Index(b, contentLength)
	if head < 0 || at < 0 || at > head {
		return 0
	}
	n := 0
	for _, c := range b[at+len(contentLength):] {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int(c-'0')
	}
	return head + len(headEnd) + n
}
