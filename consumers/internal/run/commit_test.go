package run

import "testing"

func TestNoteOf(t *testing.T) {
	f := func(offset int64, metadata string, want note) {
		t.Helper()
		if got := noteOf(offset, &metadata); got != want {
			t.Fatalf("unexpected note of %d, %q; got %+v; want %+v", offset, metadata, got, want)
		}
	}
	f(-1, "", note{committed: -1})
	f(5, "", note{committed: 5})
	f(5, noteText(9), note{5, 9})
	f(5, "end=5", note{committed: 5})
	f(5, "end=x", note{committed: 5})
	f(5, "member-1", note{committed: 5})
	if got := noteOf(7, nil); got != (note{committed: 7}) {
		t.Fatalf("unexpected note without metadata: %+v", got)
	}
}
