package policy

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/key"
)

var pepper = bytes.Repeat([]byte("pepper! "), 4)

func digester(t *testing.T) *key.Digester {
	t.Helper()
	d, err := key.NewDigester(pepper)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// declared returns what the complete configuration declares, with a key of its own.
func declared(t *testing.T) []*event.Change {
	t.Helper()
	t.Setenv("AUTOCOMPLETE_KEY", testKey)
	c, err := config.Load("../config/testdata/complete.yaml")
	if err != nil {
		t.Fatal(err)
	}
	changes, err := Declared(&c.Policy, digester(t))
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

// testKey is well-formed and opens nothing.
const testKey = "tg_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg0WlpAb"

func TestDeclared(t *testing.T) {
	byRef := map[Ref]*event.Change{}
	for _, c := range declared(t) {
		ref, ok := refOf(c)
		if !ok || byRef[ref] != nil {
			t.Fatalf("unexpected change: %v", c)
		}
		byRef[ref] = c
		if text := c.String(); strings.Contains(text, testKey) || strings.Contains(text, testKey[8:20]) {
			t.Fatalf("a change holds the key itself: %s", text)
		}
	}
	digest := digester(t).Digest([]byte(testKey))
	for want, got := range map[proto.Message]proto.Message{
		&event.Provider{Id: "openai", Api: "openai", BaseUrl: "https://api.openai.com/v1", Credential: "env:OPENAI_API_KEY"}:           byRef[Ref{KindProvider, "openai"}].GetProvider(),
		&event.Model{Id: "small", Targets: []*event.ModelTarget{{Provider: "openai", Model: "gpt-5-mini"}}, DefaultOutputTokens: 2048}: byRef[Ref{KindModel, "small"}].GetModel(),
		&event.Org{Id: "acme", Name: "Acme Ltd"}:                             byRef[Ref{KindOrg, "acme"}].GetOrg(),
		&event.Team{Id: "search", Org: "acme", Name: "Search"}:               byRef[Ref{KindTeam, "search"}].GetTeam(),
		&event.App{Id: "autocomplete", Team: "search", Name: "Autocomplete"}: byRef[Ref{KindApp, "autocomplete"}].GetApp(),
		&event.Key{Id: "autocomplete-1", App: "autocomplete", Name: "first key", Digest: digest[:], Models: []string{"small"}, ExpiresAt: 1_801_353_600_000_000_000, Disabled: true}: byRef[Ref{KindKey, "autocomplete-1"}].GetKey(),
		&event.Budget{Id: "acme-month", Scope: &event.Scope{Kind: "org", Id: "acme"}, AmountNanos: 1_000_000_000_001, Window: "month", Mode: "soft"}:                                 byRef[Ref{KindBudget, "acme-month"}].GetBudget(),
		&event.RateLimit{Id: "key-requests", Scope: &event.Scope{Kind: "key", Id: "autocomplete-1"}, Unit: "requests", Amount: 100, PerSeconds: 3600, Burst: 100}:                    byRef[Ref{KindLimit, "key-requests"}].GetLimit(),
	} {
		if !proto.Equal(got, want) {
			t.Errorf("unexpected entity; got %v; want %v", got, want)
		}
	}
	// 1 provider, model, org, team, app and key each, and a budget and a limit at each level.
	if len(byRef) != 6+2*4 {
		t.Fatalf("unexpected number of entities: %d", len(byRef))
	}
}

func TestDeclaredReportsEveryBadKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(testKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TG_MALFORMED", "sk-hunter2")
	t.Setenv("TG_GOOD", testKey)
	p := &config.Policy{Orgs: []config.Org{{ID: "o", Teams: []config.Team{{ID: "t", Apps: []config.App{{ID: "a", Keys: []config.Key{
		{ID: "good", Secret: "env:TG_GOOD"}, {ID: "missing", Secret: "env:TG_NONE"}, {ID: "malformed", Secret: "env:TG_MALFORMED"},
		{ID: "twice", Secret: config.SecretRef("file:" + file)},
	}}}}}}}}
	_, err := Declared(p, digester(t))
	got := strings.Split(fmt.Sprint(err), "\n")
	want := []string{
		`key "missing": cannot resolve the secret "env:TG_NONE": the environment variable is not set`,
		`key "malformed": env:TG_MALFORMED holds not a Tallygate key: wrong prefix, length or checksum; make one with ` + "`tallyctl key new`",
		`key "twice": it is the same as key "good"; make one of its own with ` + "`tallyctl key new`",
	}
	if len(got) != len(want) {
		t.Fatalf("unexpected errors: %v", err)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("unexpected error; got %s; want %s", got[i], want[i])
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("the error shows a secret: %v", err)
	}
}

// apply appends an event to a log that both states read.
func apply(ev *event.ControlEvent, offset int64, states ...*State) (r Result) {
	for _, s := range states {
		r = s.Apply(offset, ev)
	}
	return r
}

func TestDiff(t *testing.T) {
	s, want := NewState(), declared(t)
	ev := s.Diff(want)
	if r := apply(ev, 0, s); !r.Applied {
		t.Fatalf("the first difference is not applied: %s", r.Reason)
	}
	if again := s.Diff(want); again != nil {
		t.Fatalf("unexpected difference between what is and what is declared: %v", again)
	}
	// A changed entity, one that is gone, and one that is new.
	changed := proto.CloneOf(want[len(want)-1])
	changed.GetLimit().Amount++
	next := append([]*event.Change{{Change: &event.Change_Org{Org: &event.Org{Id: "new"}}}, changed}, want[1:len(want)-1]...)
	gone, _ := refOf(want[0])
	ev = s.Diff(next)
	if len(ev.Changes) != 3 || len(ev.Expects) != 3 || len(ev.CommandId) != 16 {
		t.Fatalf("unexpected difference: %v", ev)
	}
	if r := apply(ev, 1, s); !r.Applied {
		t.Fatalf("the second difference is not applied: %s", r.Reason)
	}
	if _, ok := s.Get(gone); ok || s.Diff(next) != nil {
		t.Fatalf("the state is not what is declared: %v", s.Diff(next))
	}
	// Back to what was before is another command than the first one.
	back := s.Diff(want)
	if r := apply(back, 2, s); !r.Applied || s.Diff(want) != nil {
		t.Fatalf("the way back is not applied: %+v", r)
	}
}

// TestReplicasThatStartAtOnce write the same command: the first one is applied, the
// others are no-ops, and all see the same state.
func TestReplicasThatStartAtOnce(t *testing.T) {
	a, b := NewState(), NewState()
	first, second := a.Diff(declared(t)), b.Diff(declared(t))
	if !bytes.Equal(first.CommandId, second.CommandId) {
		t.Fatal("two replicas with one configuration must write one command")
	}
	if r := apply(first, 0, a, b); !r.Applied {
		t.Fatal(r.Reason)
	}
	before, err := a.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if r := apply(second, 1, a, b); r.Applied || r.Reason != "the command was applied before" {
		t.Fatalf("unexpected result of the second command: %+v", r)
	}
	for _, s := range []*State{a, b} {
		if after, err := s.Digest(); err != nil || after != before || s.Version != 2 || s.Diff(declared(t)) != nil {
			t.Fatalf("unexpected state after both commands: %x, %v", after, err)
		}
	}
}

// TestReplicasWithOtherConfigurations race: the one that lost reads on and writes
// what is left to change.
func TestReplicasWithOtherConfigurations(t *testing.T) {
	s := NewState()
	one, other := declared(t), declared(t)[:6]
	mine, theirs := s.Diff(one), s.Diff(other)
	if r := apply(mine, 0, s); !r.Applied {
		t.Fatal(r.Reason)
	}
	if r := apply(theirs, 1, s); r.Applied || !strings.Contains(r.Reason, "the event expects 0") {
		t.Fatalf("an event that was made before another one's must be void: %+v", r)
	}
	if r := apply(s.Diff(other), 2, s); !r.Applied || len(s.Refs()) != len(other) {
		t.Fatalf("unexpected state after the retry: %+v, %v", r, s.Refs())
	}
}

// TestDeclaredAgainAfterRemoval adds, removes and adds the same entity: the versions
// that the third event expects are those of the first one, and it must still count.
func TestDeclaredAgainAfterRemoval(t *testing.T) {
	s, with := NewState(), declared(t)
	without := with[:len(with)-1]
	for offset, want := range [][]*event.Change{without, with, without, with} {
		if r := apply(s.Diff(want), int64(offset), s); !r.Applied {
			t.Fatalf("the configuration that was loaded at offset %d is not applied: %s", offset, r.Reason)
		}
	}
}
