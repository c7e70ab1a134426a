package config

import (
	"regexp"
	"strings"
	"time"
)

// Policy says who may do what, where calls go and what they may cost. Gateways
// write it to the control log at start; the log is what they decide by.
type Policy struct {
	// Providers are the upstream APIs.
	Providers []Provider `yaml:"providers"`
	// Models are the names that clients use, with where they lead.
	Models []Model `yaml:"models"`
	// Orgs are the tenants.
	Orgs []Org `yaml:"orgs"`
}

// Provider is an upstream API.
type Provider struct {
	// ID names it in targets, prices and events. Required.
	ID string `yaml:"id"`
	// API is what it speaks: "openai". Default openai.
	API string `yaml:"api"`
	// BaseURL is where it is, with the version, for example https://api.openai.com/v1. Required.
	// TALLYGATE_PROVIDER_<ID>_BASE_URL goes before it.
	BaseURL string `yaml:"base_url"`
	// Credential is a reference to its key. Required.
	Credential SecretRef `yaml:"credential"`

	// BaseURLOverride is the environment's value, or empty. It is of this process
	// and no part of the policy.
	BaseURLOverride string `yaml:"-"`
}

// BaseURLVariable is the environment variable that overrides BaseURL.
func (p *Provider) BaseURLVariable() string { return BaseURLVariable(p.ID) }

// BaseURLVariable is the environment variable that overrides a provider's base URL.
func BaseURLVariable(provider string) string {
	id := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r - 'a' + 'A'
		}
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, provider)
	return "TALLYGATE_PROVIDER_" + id + "_BASE_URL"
}

// Model is a name that clients use.
type Model struct {
	// ID is the name. Required.
	ID string `yaml:"id"`
	// Targets are where it leads, in order of preference. Required.
	Targets []Target `yaml:"targets"`
	// DefaultOutputTokens is assumed for holds when the client sets no limit. Default 1024.
	DefaultOutputTokens uint64 `yaml:"default_output_tokens"`
}

// Target is a model of a provider.
type Target struct {
	// Provider is the id of a provider. Required.
	Provider string `yaml:"provider"`
	// Model is the name sent upstream. Default: the name that the client used.
	Model string `yaml:"model"`
}

// Org is a tenant.
type Org struct {
	// ID is unique among orgs and never changes. Required.
	ID string `yaml:"id"`
	// Name is shown to people.
	Name string `yaml:"name"`
	// Budgets are caps on the money of all of the org together.
	Budgets []Budget `yaml:"budgets"`
	// Limits are caps on the rate of all of the org together.
	Limits []RateLimit `yaml:"limits"`
	// Teams are its parts.
	Teams []Team `yaml:"teams"`
}

// Team is a part of an org.
type Team struct {
	// ID is unique among all teams. Required.
	ID string `yaml:"id"`
	// Name is shown to people.
	Name string `yaml:"name"`
	// Budgets are caps on the money of all of the team together.
	Budgets []Budget `yaml:"budgets"`
	// Limits are caps on the rate of all of the team together.
	Limits []RateLimit `yaml:"limits"`
	// Apps are its applications.
	Apps []App `yaml:"apps"`
}

// App is an application of a team.
type App struct {
	// ID is unique among all apps. Required.
	ID string `yaml:"id"`
	// Name is shown to people.
	Name string `yaml:"name"`
	// Budgets are caps on the money of all of the app together.
	Budgets []Budget `yaml:"budgets"`
	// Limits are caps on the rate of all of the app together.
	Limits []RateLimit `yaml:"limits"`
	// Keys are its virtual keys.
	Keys []Key `yaml:"keys"`
}

// Key is a virtual key.
type Key struct {
	// ID is unique among all keys; it stands in events and errors. Required.
	ID string `yaml:"id"`
	// Name is shown to people.
	Name string `yaml:"name"`
	// Secret is a reference to the key itself, of which only the digest is kept. Required.
	Secret SecretRef `yaml:"secret"`
	// Models are those it may use; "*" is all. Default: none.
	Models []string `yaml:"models"`
	// ExpiresAt is when it ends, for example 2027-01-31T00:00:00Z. Default: never.
	ExpiresAt time.Time `yaml:"expires_at"`
	// Disabled refuses it without removing it. Default false.
	Disabled bool `yaml:"disabled"`
	// Budgets are caps on the money of the key.
	Budgets []Budget `yaml:"budgets"`
	// Limits are caps on the rate of the key.
	Limits []RateLimit `yaml:"limits"`
}

// Budget is a cap on money.
type Budget struct {
	// ID is unique among all budgets; it stands in events and errors. Default: "<scope>:<scope's id>:<window>".
	ID string `yaml:"id"`
	// AmountUSD is the cap in dollars, more than 0, with at most nine decimals. Required.
	AmountUSD USD `yaml:"amount_usd"`
	// Window is the span after which it starts anew: minute, hour, day, week (from Monday), month (UTC calendar) or total. Required.
	Window string `yaml:"window"`
	// Mode is what happens at the cap: "soft" refuses by estimates and shared balances. Default soft.
	Mode string `yaml:"mode"`
}

// RateLimit is a cap on requests or tokens over time.
type RateLimit struct {
	// ID is unique among all limits; it stands in events and errors. Default: "<scope>:<scope's id>:<unit>/<per>".
	ID string `yaml:"id"`
	// Unit is what is counted: requests or tokens. Required.
	Unit string `yaml:"unit"`
	// Amount is how many in each per. Required.
	Amount uint64 `yaml:"amount"`
	// Per is the span, whole seconds, at most a day. Required.
	Per time.Duration `yaml:"per"`
	// Burst is how many may come at once. Default: amount.
	Burst uint64 `yaml:"burst"`
}

// Scope kinds, from the widest to the narrowest.
const (
	ScopeOrg  = "org"
	ScopeTeam = "team"
	ScopeApp  = "app"
	ScopeKey  = "key"
)

// Windows of budgets.
const (
	WindowMinute = "minute"
	WindowHour   = "hour"
	WindowDay    = "day"
	WindowWeek   = "week"
	WindowMonth  = "month"
	WindowTotal  = "total"
)

var idRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,126}$`)

// ids refuses odd and repeated names.
type ids map[string]where

func (s ids) add(at where, id string) {
	if !idRE.MatchString(id) {
		at.wrong("must be 1 to 127 letters, digits or . _ : / @ - and begin with a letter or digit, got %q", id)
		return
	}
	if first, ok := s[id]; ok {
		at.wrong("%q is used twice; it stands at %s already", id, first.path)
		return
	}
	s[id] = at
}

func (p *Policy) validate(at where) {
	v := policyCheck{providers: ids{}, models: ids{}, orgs: ids{}, teams: ids{}, apps: ids{}, keys: ids{}, budgets: ids{}, limits: ids{}}
	for i := range p.Providers {
		v.provider(at.field("providers").index(i), &p.Providers[i])
	}
	for i := range p.Models {
		v.model(at.field("models").index(i), &p.Models[i])
	}
	for i := range p.Orgs {
		v.org(at.field("orgs").index(i), &p.Orgs[i])
	}
}

type policyCheck struct {
	providers, models, orgs, teams, apps, keys, budgets, limits ids
}

func (v *policyCheck) provider(at where, p *Provider) {
	v.providers.add(at.field("id"), p.ID)
	if p.API == "" {
		p.API = "openai"
	}
	at.field("api").oneOf(p.API, "openai")
	at.field("base_url").httpURL(p.BaseURL)
	if p.BaseURLOverride != "" {
		where{p.BaseURLVariable(), at.mistakes}.httpURL(p.BaseURLOverride)
	}
	p.Credential.validate(at.field("credential"))
}

func (v *policyCheck) model(at where, m *Model) {
	v.models.add(at.field("id"), m.ID)
	if len(m.Targets) == 0 {
		at.field("targets").wrong("must name at least one provider")
	}
	for i, t := range m.Targets {
		if _, ok := v.providers[t.Provider]; !ok {
			at.field("targets").index(i).field("provider").wrong("there is no provider %q; declare it under policy.providers", t.Provider)
		}
	}
	if m.DefaultOutputTokens == 0 {
		m.DefaultOutputTokens = 1024
	}
	between(at.field("default_output_tokens"), m.DefaultOutputTokens, 1, 10_000_000)
}

func (v *policyCheck) org(at where, o *Org) {
	if strings.HasPrefix(o.ID, "_") {
		at.field("id").wrong("names that begin with _ are reserved, got %q", o.ID)
	} else {
		v.orgs.add(at.field("id"), o.ID)
	}
	v.rules(at, ScopeOrg, o.ID, o.Budgets, o.Limits)
	for i := range o.Teams {
		t, at := &o.Teams[i], at.field("teams").index(i)
		v.teams.add(at.field("id"), t.ID)
		v.rules(at, ScopeTeam, t.ID, t.Budgets, t.Limits)
		for i := range t.Apps {
			a, at := &t.Apps[i], at.field("apps").index(i)
			v.apps.add(at.field("id"), a.ID)
			v.rules(at, ScopeApp, a.ID, a.Budgets, a.Limits)
			for i := range a.Keys {
				v.key(at.field("keys").index(i), &a.Keys[i])
			}
		}
	}
}

func (v *policyCheck) key(at where, k *Key) {
	v.keys.add(at.field("id"), k.ID)
	k.Secret.validate(at.field("secret"))
	for i, m := range k.Models {
		if _, ok := v.models[m]; !ok && m != "*" {
			at.field("models").index(i).wrong("there is no model %q; declare it under policy.models, or use *", m)
		}
	}
	v.rules(at, ScopeKey, k.ID, k.Budgets, k.Limits)
}

func (v *policyCheck) rules(at where, kind, id string, budgets []Budget, limits []RateLimit) {
	for i := range budgets {
		b, at := &budgets[i], at.field("budgets").index(i)
		if b.ID == "" {
			b.ID = kind + ":" + id + ":" + b.Window
		}
		v.budgets.add(at.field("id"), b.ID)
		if b.AmountUSD <= 0 {
			at.field("amount_usd").wrong("must be more than 0 dollars, got %s; to refuse every call, disable the keys", b.AmountUSD)
		}
		at.field("window").oneOf(b.Window, WindowMinute, WindowHour, WindowDay, WindowWeek, WindowMonth, WindowTotal)
		if b.Mode == "" {
			b.Mode = "soft"
		}
		at.field("mode").oneOf(b.Mode, "soft")
	}
	for i := range limits {
		l, at := &limits[i], at.field("limits").index(i)
		if l.ID == "" {
			l.ID = kind + ":" + id + ":" + l.Unit + "/" + l.Per.String()
		}
		v.limits.add(at.field("id"), l.ID)
		at.field("unit").oneOf(l.Unit, "requests", "tokens")
		between(at.field("amount"), l.Amount, 1, 1_000_000_000_000)
		between(at.field("per"), l.Per, time.Second, 24*time.Hour)
		if l.Per%time.Second != 0 {
			at.field("per").wrong("must be whole seconds, got %s", l.Per)
		}
		if l.Burst == 0 {
			l.Burst = l.Amount
		}
		between(at.field("burst"), l.Burst, 1, 1_000_000_000_000)
	}
}
