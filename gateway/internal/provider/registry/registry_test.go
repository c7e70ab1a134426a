package registry

import "testing"

func TestLookup(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range Names() {
		if p := Lookup(name); p == nil || p.Name() != name || seen[name] {
			t.Fatalf("unexpected API under the name %q: %v", name, p)
		}
		seen[name] = true
	}
	if !seen["openai"] || Lookup("none") != nil {
		t.Fatalf("unexpected names: %v", Names())
	}
}
