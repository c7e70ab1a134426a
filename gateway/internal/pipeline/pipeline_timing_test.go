//go:build !race

package pipeline_test

import "testing"

// BenchmarkCall is a whole call on one connection, provider included. Compare it
// with BenchmarkBareProxy; compare commits with
//
//	go test -run '^$' -bench 'Call|BareProxy' -count 10 ./internal/pipeline | tee new.txt; benchstat old.txt new.txt
func BenchmarkCall(b *testing.B) {
	gateway, _, _ := sideBySide(b)
	benchmark(b, gateway)
}

func BenchmarkBareProxy(b *testing.B) {
	_, bare, _ := sideBySide(b)
	benchmark(b, bare)
}

func benchmark(b *testing.B, c *rawClient) {
	c.calls(b, 100)
	b.SetBytes(int64(len(c.request) + c.bodyLen))
	b.ReportAllocs()
	b.ResetTimer()
	c.calls(b, b.N)
}
