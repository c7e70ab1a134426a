package policy

import (
	"math"
	"slices"
	"time"

	"github.com/tallygate/tallygate/schemas/decide"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/key"
)

// Snapshot is the policy at one version, linked for reading. Nothing that it
// points to ever changes.
type Snapshot struct {
	Version uint64
	// Keys are the virtual keys whose whole path up to the org exists, by digest.
	Keys map[key.Digest]*Key
	// Models are the names that clients use.
	Models    map[string]*Model
	Providers map[string]*Provider
	Budgets   map[string]*Budget
	Limits    map[string]*Limit
}

// Key is a virtual key with everything that a decision needs, resolved.
type Key struct {
	ID, Name       string
	Org, Team, App string
	// AllModels is a grant of "*".
	AllModels bool
	// Models are the models it may use, by name; complete also if AllModels.
	Models map[string]*Model
	// ExpiresAt is zero if it never ends. Nanoseconds since the Unix epoch.
	ExpiresAt int64
	Disabled  bool
	// Budgets and Limits are those of org, team, app and key, in this order. All must pass.
	Budgets []*Budget
	Limits  []*Limit
}

// Expired says if the key has ended at a moment.
func (k *Key) Expired(now int64) bool { return k.ExpiresAt != 0 && now >= k.ExpiresAt }

// Model is a name that clients use, with where it leads.
type Model struct {
	ID                  string
	Targets             []Target
	DefaultOutputTokens uint64
}

// Target is a model of a provider.
type Target struct {
	Provider *Provider
	// Model is the name sent upstream.
	Model string
}

// Provider is an upstream API.
type Provider struct {
	ID, API, BaseURL string
	// Credential is a reference, never the secret.
	Credential string
}

// Budget is a cap on money.
type Budget struct {
	ID, Org   string
	Scope     Ref
	CapNanos  int64
	Window    decide.WindowKind
	WindowStr string
}

// Limit is a cap on requests or tokens over time.
type Limit struct {
	ID, Org string
	Scope   Ref
	// Tokens is false for requests.
	Tokens bool
	Rate   decide.Rate
}

// Unit returns "tokens" or "requests".
func (l *Limit) Unit() string {
	if l.Tokens {
		return "tokens"
	}
	return "requests"
}

// DefaultOutputTokens is what a hold assumes where neither client nor model set a bound.
const DefaultOutputTokens = 1024

// maxPerSeconds is the longest span of a limit that is of any use: its nanoseconds fit.
const maxPerSeconds = uint64(math.MaxInt64 / int64(time.Second))

// Compile links the state's entities. What leads nowhere is left out: a key whose
// app is gone is no key, a target whose provider is gone is no target.
func (s *State) Compile() *Snapshot {
	c := compiler{state: s, snap: &Snapshot{
		Version: s.Version, Keys: map[key.Digest]*Key{}, Models: map[string]*Model{},
		Providers: map[string]*Provider{}, Budgets: map[string]*Budget{}, Limits: map[string]*Limit{},
	}, budgets: map[Ref][]*Budget{}, limits: map[Ref][]*Limit{}}
	refs := s.Refs()
	// Each pass needs what the ones before it made.
	for _, pass := range []struct {
		kind Kind
		link func(*event.Change)
	}{
		{KindProvider, c.provider}, {KindModel, c.model}, {KindBudget, c.budget}, {KindLimit, c.limit}, {KindKey, c.key},
	} {
		for _, ref := range refs {
			if ref.Kind == pass.kind {
				pass.link(s.entities[ref].Change)
			}
		}
	}
	return c.snap
}

type compiler struct {
	state   *State
	snap    *Snapshot
	budgets map[Ref][]*Budget
	limits  map[Ref][]*Limit
}

func (c *compiler) provider(ch *event.Change) {
	p := ch.GetProvider()
	c.snap.Providers[p.Id] = &Provider{ID: p.Id, API: p.Api, BaseURL: p.BaseUrl, Credential: p.Credential}
}

func (c *compiler) model(ch *event.Change) {
	m := ch.GetModel()
	out := &Model{ID: m.Id, DefaultOutputTokens: m.DefaultOutputTokens}
	if out.DefaultOutputTokens == 0 {
		out.DefaultOutputTokens = DefaultOutputTokens
	}
	for _, t := range m.Targets {
		if p := c.snap.Providers[t.Provider]; p != nil {
			name := t.Model
			if name == "" {
				name = m.Id
			}
			out.Targets = append(out.Targets, Target{Provider: p, Model: name})
		}
	}
	c.snap.Models[m.Id] = out
}

func (c *compiler) budget(ch *event.Change) {
	b := ch.GetBudget()
	scope := Ref{Kind(b.GetScope().GetKind()), b.GetScope().GetId()}
	path, ok := c.path(scope)
	window, known := ParseWindow(b.Window)
	if !ok || !known {
		return
	}
	out := &Budget{ID: b.Id, Org: path.org, Scope: scope, CapNanos: b.AmountNanos, Window: window, WindowStr: b.Window}
	c.snap.Budgets[b.Id] = out
	c.budgets[scope] = append(c.budgets[scope], out)
}

func (c *compiler) limit(ch *event.Change) {
	l := ch.GetLimit()
	scope := Ref{Kind(l.GetScope().GetKind()), l.GetScope().GetId()}
	path, ok := c.path(scope)
	if !ok || l.Amount == 0 || l.PerSeconds == 0 || l.PerSeconds > maxPerSeconds {
		return
	}
	rate := decide.Rate{Amount: l.Amount, Burst: l.Burst, PerNanos: int64(l.PerSeconds) * int64(time.Second)}
	if rate.Burst == 0 {
		rate.Burst = rate.Amount
	}
	out := &Limit{ID: l.Id, Org: path.org, Scope: scope, Tokens: l.Unit == "tokens", Rate: rate}
	c.snap.Limits[l.Id] = out
	c.limits[scope] = append(c.limits[scope], out)
}

func (c *compiler) key(ch *event.Change) {
	k := ch.GetKey()
	path, ok := c.path(Ref{KindKey, k.Id})
	if !ok || len(k.Digest) != len(key.Digest{}) {
		return
	}
	out := &Key{
		ID: k.Id, Name: k.Name, Org: path.org, Team: path.team, App: path.app, ExpiresAt: k.ExpiresAt, Disabled: k.Disabled,
		AllModels: slices.Contains(k.Models, "*"), Models: map[string]*Model{},
	}
	if out.AllModels {
		out.Models = c.snap.Models
	} else {
		for _, m := range k.Models {
			if model := c.snap.Models[m]; model != nil {
				out.Models[m] = model
			}
		}
	}
	for _, scope := range []Ref{{KindOrg, path.org}, {KindTeam, path.team}, {KindApp, path.app}, {KindKey, k.Id}} {
		out.Budgets = append(out.Budgets, c.budgets[scope]...)
		out.Limits = append(out.Limits, c.limits[scope]...)
	}
	c.snap.Keys[key.Digest(k.Digest)] = out
}

type path struct{ org, team, app string }

// path walks from a level of the tree up to its org.
func (c *compiler) path(ref Ref) (path, bool) {
	var p path
	for {
		e, ok := c.state.entities[ref]
		if !ok {
			return p, false
		}
		switch ref.Kind {
		case KindKey:
			ref = Ref{KindApp, e.Change.GetKey().GetApp()}
		case KindApp:
			p.app = ref.ID
			ref = Ref{KindTeam, e.Change.GetApp().GetTeam()}
		case KindTeam:
			p.team = ref.ID
			ref = Ref{KindOrg, e.Change.GetTeam().GetOrg()}
		case KindOrg:
			p.org = ref.ID
			return p, true
		default:
			return p, false
		}
	}
}

// ParseWindow reads a budget's window by its name.
func ParseWindow(name string) (decide.WindowKind, bool) {
	switch name {
	case "total":
		return decide.Total, true
	case "minute":
		return decide.Minute, true
	case "hour":
		return decide.Hour, true
	case "day":
		return decide.Day, true
	case "week":
		return decide.Week, true
	case "month":
		return decide.Month, true
	}
	return decide.Total, false
}
