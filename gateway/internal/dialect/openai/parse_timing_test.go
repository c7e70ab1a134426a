package openai

import (
	"strings"
	"testing"

	"github.com/tallygate/tallygate/gateway/internal/llm"
)

// Compare commits with: go test -run '^$' -bench Parse -count 10 | benchstat.
func BenchmarkParse(b *testing.B) {
	f := func(name, content string) {
		body := []byte(`{"model":"gpt-5-mini","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"` + content + `"}],"stream":true}`)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				var req llm.Request
				for pb.Next() {
					if Parse(&req, body) != nil {
						b.Fatal("unexpected problem")
					}
				}
			})
		})
	}
	f("small", strings.Repeat("A short question? ", 20))
	f("large", strings.Repeat(`A line of a long document, \"quoted\" here and there.\n`, 20_000))
	f("umlauts", strings.Repeat("Über alle Gipfel ist Ruh. ", 1000))
}
