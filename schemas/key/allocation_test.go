//go:build !race

package key

import (
	"bytes"
	"testing"
)

func TestAuthenticationDoesNotAllocate(t *testing.T) {
	d, err := NewDigester(bytes.Repeat([]byte("p"), MinPepperLen))
	if err != nil {
		t.Fatal(err)
	}
	text, known := []byte(golden), map[Digest]bool{}
	d.Digest(text)
	if n := testing.AllocsPerRun(1000, func() {
		if Check(text) != nil || known[d.Digest(text)] {
			t.Fatal("the key must be well-formed and unknown")
		}
	}); n != 0 {
		t.Fatalf("unexpected allocations per key; got %v; want 0", n)
	}
}
