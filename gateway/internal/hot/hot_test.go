package hot

import "testing"

func TestConversions(t *testing.T) {
	for _, s := range []string{"", "a", "gpt-5-mini", "\x00\xff"} {
		if got := StringOf([]byte(s)); got != s {
			t.Fatalf("unexpected string; got %q; want %q", got, s)
		}
		if got := BytesOf(s); string(got) != s || len(got) != len(s) {
			t.Fatalf("unexpected bytes; got %q; want %q", got, s)
		}
	}
	if got := StringOf(nil); got != "" {
		t.Fatalf("unexpected string of nil; got %q", got)
	}
}
