package policy

import (
	"bytes"
	"math"
	"testing"

	"github.com/tallygate/tallygate/schemas/decide"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/key"
)

func TestCompile(t *testing.T) {
	s := NewState()
	apply(s.Diff(declared(t)), 0, s)
	snap := s.Compile()
	if snap.Version != 1 || len(snap.Keys) != 1 || len(snap.Budgets) != 4 || len(snap.Limits) != 4 {
		t.Fatalf("unexpected snapshot: %+v", snap)
	}
	k := snap.Keys[digester(t).Digest([]byte(testKey))]
	if k == nil || k.ID != "autocomplete-1" || k.Org != "acme" || k.Team != "search" || k.App != "autocomplete" || !k.Disabled || k.AllModels {
		t.Fatalf("unexpected key: %+v", k)
	}
	if k.Expired(1_801_353_599_999_999_999) || !k.Expired(1_801_353_600_000_000_000) || (&Key{}).Expired(math.MaxInt64) {
		t.Fatal("a key ends at its moment, and one without a moment never")
	}
	// The rules of all levels, from the org down.
	for i, want := range []string{"acme-month", "search-week", "autocomplete-day", "key-total"} {
		if b := k.Budgets[i]; b.ID != want || b.Org != "acme" || b != snap.Budgets[want] {
			t.Fatalf("unexpected budget %d: %+v; want %s", i, b, want)
		}
	}
	for i, want := range []string{"acme-tokens", "search-requests", "autocomplete-requests", "key-requests"} {
		if l := k.Limits[i]; l.ID != want || l != snap.Limits[want] {
			t.Fatalf("unexpected limit %d: %+v; want %s", i, l, want)
		}
	}
	if l := snap.Limits["acme-tokens"]; !l.Tokens || l.Unit() != "tokens" || l.Rate != (decide.Rate{Amount: 1_000_000, Burst: 2_000_000, PerNanos: 60_000_000_000}) {
		t.Fatalf("unexpected limit: %+v", l)
	}
	if b := snap.Budgets["acme-month"]; b.CapNanos != 1_000_000_000_001 || b.Window != decide.Month {
		t.Fatalf("unexpected budget: %+v", b)
	}
	m := k.Models["small"]
	if m == nil || m != snap.Models["small"] || m.DefaultOutputTokens != 2048 || len(m.Targets) != 1 ||
		m.Targets[0].Model != "gpt-5-mini" || m.Targets[0].Provider != snap.Providers["openai"] {
		t.Fatalf("unexpected model: %+v", m)
	}
}

// TestCompileDropsWhatLeadsNowhere folds entities whose parents, providers or values
// are missing or odd: the log may hold them, a decision may not meet them.
func TestCompileDropsWhatLeadsNowhere(t *testing.T) {
	digest := func(b byte) []byte { return bytes.Repeat([]byte{b}, len(key.Digest{})) }
	scope := func(kind, id string) *event.Scope { return &event.Scope{Kind: kind, Id: id} }
	s := NewState()
	ev := &event.ControlEvent{SchemaVersion: 1}
	for _, c := range []any{
		&event.Org{Id: "o"}, &event.Team{Id: "t", Org: "o"}, &event.App{Id: "a", Team: "t"},
		&event.Team{Id: "lost-team", Org: "none"}, &event.App{Id: "lost-app", Team: "lost-team"},
		&event.Key{Id: "good", App: "a", Digest: digest(1), Models: []string{"m", "none"}},
		&event.Key{Id: "all", App: "a", Digest: digest(2), Models: []string{"*"}},
		&event.Key{Id: "lost-key", App: "lost-app", Digest: digest(3)}, &event.Key{Id: "appless", Digest: digest(4)},
		&event.Key{Id: "short", App: "a", Digest: digest(5)[1:]},
		&event.Provider{Id: "p"},
		&event.Model{Id: "m", Targets: []*event.ModelTarget{{Provider: "none", Model: "x"}, {Provider: "p"}}}, &event.Model{Id: "empty"},
		&event.Budget{Id: "b", Scope: scope("key", "good"), AmountNanos: 5, Window: "day"},
		&event.Budget{Id: "lost-b", Scope: scope("app", "lost-app"), Window: "day"}, &event.Budget{Id: "scopeless", Window: "day"},
		&event.Budget{Id: "odd-window", Scope: scope("org", "o"), Window: "fortnight"}, &event.Budget{Id: "odd-scope", Scope: scope("model", "m"), Window: "day"},
		&event.RateLimit{Id: "l", Scope: scope("org", "o"), Amount: 5, PerSeconds: 60},
		&event.RateLimit{Id: "no-amount", Scope: scope("org", "o"), PerSeconds: 60}, &event.RateLimit{Id: "no-span", Scope: scope("org", "o"), Amount: 5},
		&event.RateLimit{Id: "endless", Scope: scope("org", "o"), Amount: 5, PerSeconds: math.MaxUint64},
	} {
		ev.Changes = append(ev.Changes, change(t, c))
	}
	if r := s.Apply(0, ev); !r.Applied {
		t.Fatal(r.Reason)
	}
	snap := s.Compile()
	if len(snap.Keys) != 2 || len(snap.Budgets) != 1 || len(snap.Limits) != 1 || len(snap.Providers) != 1 {
		t.Fatalf("unexpected snapshot: %+v", snap)
	}
	good, all := snap.Keys[key.Digest(digest(1))], snap.Keys[key.Digest(digest(2))]
	if len(good.Models) != 1 || good.Models["m"] == nil || len(all.Models) != 2 || !all.AllModels {
		t.Fatalf("unexpected models: %v, %v", good.Models, all.Models)
	}
	if m := good.Models["m"]; len(m.Targets) != 1 || m.Targets[0].Model != "m" || m.DefaultOutputTokens != DefaultOutputTokens {
		t.Fatalf("unexpected model: %+v", m)
	}
	if len(good.Budgets) != 1 || len(all.Budgets) != 0 || len(good.Limits) != 1 || len(all.Limits) != 1 {
		t.Fatalf("unexpected rules: %+v, %+v", good, all)
	}
	if l := snap.Limits["l"]; l.Tokens || l.Rate.Burst != 5 {
		t.Fatalf("unexpected limit: %+v", l)
	}
}

// TestSnapshotsDoNotChange folds on after a snapshot was taken.
func TestSnapshotsDoNotChange(t *testing.T) {
	s := NewState()
	apply(s.Diff(declared(t)), 0, s)
	snap := s.Compile()
	apply(s.Diff(nil), 1, s)
	if len(s.Refs()) != 0 || len(s.Compile().Keys) != 0 {
		t.Fatalf("unexpected state after all was removed: %v", s.Refs())
	}
	if snap.Version != 1 || len(snap.Keys) != 1 || len(snap.Models) != 1 {
		t.Fatalf("a snapshot changed: %+v", snap)
	}
}

func TestParseWindow(t *testing.T) {
	for name, want := range map[string]decide.WindowKind{
		"total": decide.Total, "minute": decide.Minute, "hour": decide.Hour, "day": decide.Day, "week": decide.Week, "month": decide.Month,
	} {
		if got, ok := ParseWindow(name); !ok || got != want {
			t.Fatalf("unexpected window %q: %d, %v", name, got, ok)
		}
	}
	if _, ok := ParseWindow("fortnight"); ok {
		t.Fatal("an unknown window must not be taken for one")
	}
}

func change(t *testing.T, entity any) *event.Change {
	t.Helper()
	switch x := entity.(type) {
	case *event.Org:
		return &event.Change{Change: &event.Change_Org{Org: x}}
	case *event.Team:
		return &event.Change{Change: &event.Change_Team{Team: x}}
	case *event.App:
		return &event.Change{Change: &event.Change_App{App: x}}
	case *event.Key:
		return &event.Change{Change: &event.Change_Key{Key: x}}
	case *event.Provider:
		return &event.Change{Change: &event.Change_Provider{Provider: x}}
	case *event.Model:
		return &event.Change{Change: &event.Change_Model{Model: x}}
	case *event.Budget:
		return &event.Change{Change: &event.Change_Budget{Budget: x}}
	case *event.RateLimit:
		return &event.Change{Change: &event.Change_Limit{Limit: x}}
	}
	t.Fatalf("no change holds a %T", entity)
	return nil
}
