package policy

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/tallygate/tallygate/schemas/event"
)

var update = flag.Bool("update", false, "note what becomes of the steps of testdata/log.json that have been added; none that stands is changed")

// step is an event of the golden log and what must become of it. Steps are added,
// never edited: Apply is frozen, since a log that is folded otherwise tomorrow is
// another history.
type step struct {
	About   string          `json:"about"`
	Event   json.RawMessage `json:"event"`
	Applied bool            `json:"applied"`
	Reason  string          `json:"reason"`
	// Digest is that of the state after the step; empty in a step that was just written.
	Digest string `json:"digest"`
}

const goldenLog = "testdata/log.json"

// replay folds the golden log and calls check, if it is given, after each step.
func replay(t *testing.T, check func(i int, s *step, r Result, digest string)) *State {
	t.Helper()
	state := NewState()
	for i, s := range readSteps(t) {
		var ev event.ControlEvent
		if err := protojson.Unmarshal(s.Event, &ev); err != nil {
			t.Fatalf("step %d (%s): %v", i, s.About, err)
		}
		r := state.Apply(int64(i), &ev)
		digest, err := state.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if check != nil {
			check(i, &s, r, hex.EncodeToString(digest[:]))
		}
	}
	return state
}

func readSteps(t *testing.T) []step {
	t.Helper()
	data, err := os.ReadFile(goldenLog)
	if err != nil {
		t.Fatal(err)
	}
	var steps []step
	if err := json.Unmarshal(data, &steps); err != nil {
		t.Fatal(err)
	}
	return steps
}

func TestApplyIsFrozen(t *testing.T) {
	steps := readSteps(t)
	state := replay(t, func(i int, s *step, r Result, digest string) {
		if s.Digest == "" && *update {
			steps[i].Applied, steps[i].Reason, steps[i].Digest = r.Applied, r.Reason, digest
			return
		}
		if r.Applied != s.Applied || r.Reason != s.Reason {
			t.Errorf("step %d (%s): unexpected result %+v; want %v, %q", i, s.About, r, s.Applied, s.Reason)
		}
		if digest != s.Digest {
			t.Errorf("step %d (%s): unexpected digest of the state %s; want %s", i, s.About, digest, s.Digest)
		}
	})
	if state.Version != uint64(len(steps)) {
		t.Fatalf("unexpected version; got %d; want %d", state.Version, len(steps))
	}
	if *update {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", " ")
		if err := enc.Encode(steps); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(goldenLog, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRefsAreOrdered(t *testing.T) {
	refs := replay(t, nil).Refs()
	for i := 1; i < len(refs); i++ {
		if compareRefs(refs[i-1], refs[i]) >= 0 {
			t.Fatalf("%v stands before %v", refs[i-1], refs[i])
		}
	}
}

// TestDigestTellsStatesApart changes each part of a small state.
func TestDigestTellsStatesApart(t *testing.T) {
	org := func(id, name string) *event.ControlEvent {
		return &event.ControlEvent{SchemaVersion: 1, Changes: []*event.Change{{Change: &event.Change_Org{Org: &event.Org{Id: id, Name: name}}}}}
	}
	seen := map[[32]byte]int{}
	for i, log := range [][]*event.ControlEvent{
		{}, {org("a", "x")}, {org("a", "y")}, {org("b", "x")}, {org("a", "x"), org("a", "x")}, {org("a", "x"), org("b", "x")},
	} {
		s := NewState()
		for offset, ev := range log {
			s.Apply(int64(offset), ev)
		}
		d, err := s.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[d]; ok {
			t.Fatalf("the states %d and %d have one digest", other, i)
		}
		seen[d] = i
	}
}
