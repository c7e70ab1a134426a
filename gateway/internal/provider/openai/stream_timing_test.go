package openai

import (
	"os"
	"testing"
)

// Compare commits with: go test -run '^$' -bench Decoder -count 10 | benchstat.
func BenchmarkDecoder(b *testing.B) {
	wire, err := os.ReadFile("testdata/stream/upstream.sse")
	if err != nil {
		b.Fatalf("cannot read: %s", err)
	}
	events := 0
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	for b.Loop() {
		d := New().NewDecoder()
		for p := wire; len(p) > 0; events++ {
			_, n, err := d.Next(p)
			if err != nil {
				b.Fatal(err)
			}
			p = p[n:]
		}
		d.Release()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/event")
}
