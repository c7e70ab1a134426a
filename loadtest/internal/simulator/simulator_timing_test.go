package simulator

import (
	"testing"

	"github.com/valyala/fasthttp"
)

// BenchmarkChat measures the handler without a socket. Compare commits with
// benchstat over -count=10.
func BenchmarkChat(b *testing.B) {
	s := New(Config{Behaviour: DefaultBehaviour()})
	body := []byte(chatBody("tokens=60", false))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var ctx fasthttp.RequestCtx
		for pb.Next() {
			ctx.Request.Header.SetMethod("POST")
			ctx.Request.SetRequestURI("/v1/chat/completions")
			ctx.Request.SetBodyRaw(body)
			ctx.Response.Reset()
			s.handle(&ctx)
			if ctx.Response.StatusCode() != 200 {
				b.Fatalf("unexpected status; got %d; want 200", ctx.Response.StatusCode())
			}
		}
	})
}
