package view

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate/gateway/internal/counter"
	"github.com/tallygate/tallygate/gateway/internal/llm"
	"github.com/tallygate/tallygate/gateway/internal/upstream"
	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/key"
	"github.com/tallygate/tallygate/schemas/policy"
	"github.com/tallygate/tallygate/schemas/price"
)

// bench builds views as a gateway does, one after the other.
type bench struct {
	*Builder
	t        *testing.T
	state    *policy.State
	digester *key.Digester
	// first and second are the secrets of the keys k1 and k2.
	first, second string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	digester, err := key.NewDigester([]byte(strings.Repeat("p", key.MinPepperLen)))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, state: policy.NewState(), digester: digester, first: key.New(), second: key.New()}
	b.Builder = &Builder{Counters: counter.NewTable(1), Prices: price.Default(), Upstreams: &Upstreams{
		BaseURL: func(string) string { return "" },
		Options: upstream.Options{ConnectTimeout: time.Second, FirstByteTimeout: time.Second, ChunkTimeout: time.Second, TotalTimeout: time.Second,
			ConnectionLimit: 4, AllowPrivate: true, IdleTimeout: time.Minute},
	}}
	t.Setenv("TEST_FIRST", b.first)
	t.Setenv("TEST_SECOND", b.second)
	t.Setenv("TEST_CREDENTIAL", "sk-secret")
	return b
}

// build declares a policy and builds the view of it.
func (b *bench) build(providers, models string) *View {
	b.t.Helper()
	conf, err := config.Parse("test.yaml", []byte(`
policy:
  providers: `+providers+`
  models: `+models+`
  orgs:
    - id: acme
      budgets: [{id: shared, amount_usd: 1, window: total}]
      teams:
        - id: core
          limits: [{id: requests, unit: requests, amount: 10, per: 1m}, {id: tokens, unit: tokens, amount: 1000, per: 1m}]
          apps:
            - id: bot
              keys:
                - {id: k1, secret: "env:TEST_FIRST", models: [b, a]}
                - {id: k2, secret: "env:TEST_SECOND", models: ["*"]}
`), func(string) (string, bool) { return "", false })
	if err != nil {
		b.t.Fatalf("cannot read the test's configuration: %s", err)
	}
	declared, err := policy.Declared(&conf.Policy, b.digester)
	if err != nil {
		b.t.Fatal(err)
	}
	if ev := b.state.Diff(declared); ev != nil {
		if res := b.state.Apply(int64(b.state.Version), ev); !res.Applied {
			b.t.Fatalf("the test's policy does not apply: %s", res.Reason)
		}
	}
	return b.Build(b.state.Compile())
}

func (b *bench) key(v *View, secret string) *Key {
	b.t.Helper()
	k := v.Key(b.digester.Digest([]byte(secret)))
	if k == nil {
		b.t.Fatal("unexpected lack of a key")
	}
	return k
}

const (
	oneProvider = `[{id: p, base_url: "http://127.0.0.1:9/v1", credential: "env:TEST_CREDENTIAL"}]`
	threeModels = `[{id: a, targets: [{provider: p}]}, {id: b, targets: [{provider: p, model: other}]}, {id: c, targets: [{provider: p}]}]`
)

func TestAKeyReachesWhatItMayUse(t *testing.T) {
	b := newBench(t)
	v := b.build(oneProvider, threeModels)
	if v.Keys() != 2 || v.Version != b.state.Version || len(v.Missing) != 0 {
		t.Fatalf("unexpected view: %+v", v)
	}
	if v.Key(b.digester.Digest([]byte(key.New()))) != nil {
		t.Fatal("unexpected key for a secret that nobody has")
	}
	f := func(secret string, want ...string) {
		t.Helper()
		k := b.key(v, secret)
		if !slices.Equal(k.ModelIDs, want) {
			t.Fatalf("unexpected models of key %s; got %v; want %v", k.ID, k.ModelIDs, want)
		}
		for _, id := range []string{"a", "b", "c", "d", ""} {
			if got := k.Model([]byte(id)) != nil; got != slices.Contains(want, id) {
				t.Fatalf("unexpected use of the model %q by key %s: %v", id, k.ID, got)
			}
		}
		var list struct {
			Data []struct{ ID string }
		}
		if err := json.Unmarshal(k.ModelList, &list); err != nil || len(list.Data) != len(want) {
			t.Fatalf("unexpected list of models of key %s: %s", k.ID, k.ModelList)
		}
		if len(k.Requests) != 1 || k.Requests[0].Rule.ID != "requests" || len(k.Tokens) != 1 || k.Tokens[0].Rule.ID != "tokens" || len(k.Budgets) != 1 {
			t.Fatalf("unexpected rules of key %s: %+v", k.ID, k)
		}
	}
	f(b.first, "a", "b")
	f(b.second, "a", "b", "c")
	if m := b.key(v, b.first).Model([]byte("b")); len(m.Targets) != 1 || m.Targets[0].Model != "other" || m.Targets[0].Upstream.Credential.Secret() != "sk-secret" {
		t.Fatalf("unexpected model: %+v", m)
	}
}

func TestCountersAreSharedAndOutliveViews(t *testing.T) {
	b := newBench(t)
	v := b.build(oneProvider, threeModels)
	now := time.Now().UnixNano()
	budget, limit := b.key(v, b.first).Budgets[0], b.key(v, b.first).Requests[0]
	if _, ok := budget.Hold(budget.At(now), 5); !ok {
		t.Fatal("unexpected refusal of a hold")
	}
	if !limit.Take(now, 3).Allowed {
		t.Fatal("unexpected refusal of a limit")
	}
	f := func(v *View, secret string) {
		t.Helper()
		k := b.key(v, secret)
		if used := k.Budgets[0].At(now).Used(); used != 5 {
			t.Fatalf("unexpected use of the budget by key %s; got %d; want 5", k.ID, used)
		}
		if left := k.Requests[0].Left(now); left != 7 {
			t.Fatalf("unexpected rest of the limit of key %s; got %d; want 7", k.ID, left)
		}
	}
	f(v, b.second)
	later := b.build(oneProvider, `[{id: a, targets: [{provider: p}]}, {id: b, targets: [{provider: p}]}]`)
	f(later, b.first)
	f(later, b.second)
	// The view before is as it was.
	if b.key(v, b.second).Model([]byte("c")) == nil || b.key(later, b.second).Model([]byte("c")) != nil {
		t.Fatal("unexpected models after a change of policy")
	}
}

func TestATargetThatCannotBeUsedIsNamed(t *testing.T) {
	b := newBench(t)
	v := b.build(`[{id: bad, base_url: "http://127.0.0.1:9/v1", credential: "env:TEST_NO_CREDENTIAL"}, {id: p, base_url: "http://127.0.0.1:9/v1", credential: "env:TEST_CREDENTIAL"}]`,
		`[{id: a, targets: [{provider: bad}, {provider: p}]}, {id: b, targets: [{provider: bad}]}]`)
	k := b.key(v, b.first)
	if m := k.Model([]byte("a")); len(m.Targets) != 1 || m.Targets[0].Provider != "p" {
		t.Fatalf("unexpected targets: %+v", m.Targets)
	}
	// It is there and says so when it is called; it does not look as if the key had lost it.
	if m := k.Model([]byte("b")); m == nil || len(m.Targets) != 0 {
		t.Fatalf("unexpected model: %+v", m)
	}
	slices.Sort(v.Missing)
	if len(v.Missing) != 2 || !strings.HasPrefix(v.Missing[0], `model "a": provider "bad": `) || !strings.Contains(v.Missing[1], "TEST_NO_CREDENTIAL") {
		t.Fatalf("unexpected reasons: %q", v.Missing)
	}
	// A credential that comes later is taken with the next policy.
	t.Setenv("TEST_NO_CREDENTIAL", "sk-late")
	if v = b.Build(b.state.Compile()); len(v.Missing) != 0 || len(b.key(v, b.first).Model([]byte("b")).Targets) != 1 {
		t.Fatalf("unexpected reasons after the credential came: %q", v.Missing)
	}
}

func TestConnectionsOutliveViewsAndEndWithTheirProvider(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }))
	defer server.Close()
	b := newBench(t)
	build := func(providers string) *Upstream {
		t.Helper()
		return b.key(b.build(providers, threeModels), b.first).Model([]byte("a")).Targets[0].Upstream
	}
	settings := func(url, credential string) string {
		return `[{id: p, base_url: "` + url + `", credential: "env:` + credential + `"}]`
	}
	call := func(up *Upstream) {
		t.Helper()
		var c upstream.Call
		c.Reset()
		req := llm.Request{Body: []byte(`{"model":"a"}`), Model: []byte("a"), UpstreamModel: "a"}
		if err := up.API.Encode(&c.Request, &req, up.BaseURL, up.Credential); err != nil {
			t.Fatal(err)
		}
		if err := up.Pool.Do(&c); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 16)); n != 2 {
			t.Fatalf("unexpected answer: %d bytes, %v", n, err)
		}
		c.Close()
	}
	first := build(settings(server.URL+"/v1", "TEST_CREDENTIAL"))
	call(first)
	if again := build(settings(server.URL+"/v1/", "TEST_CREDENTIAL")); again != first || first.Pool.Open() != 1 {
		t.Fatalf("unexpected new connections for the same provider; %d are open", first.Pool.Open())
	}
	t.Setenv("TEST_ROTATED", "sk-rotated")
	second := build(settings(server.URL+"/v1", "TEST_ROTATED"))
	if second == first || second.Credential.Secret() != "sk-rotated" {
		t.Fatal("unexpected use of the credential before")
	}
	if n := first.Pool.Open(); n != 0 {
		t.Fatalf("unexpected connections that nothing leads to any more: %d", n)
	}
	// A request that was decided on before still gets its answer, and leaves nothing open.
	call(first)
	if n := first.Pool.Open(); n != 0 {
		t.Fatalf("unexpected connections that nothing leads to any more: %d", n)
	}
	b.Upstreams.BaseURL = func(string) string { return server.URL + "/other/" }
	if over := build(settings(server.URL+"/v1", "TEST_ROTATED")); over.BaseURL != server.URL+"/other" {
		t.Fatalf("unexpected base URL; got %q; want the environment's", over.BaseURL)
	}
}
