// Package view is what the hot path reads: the policy snapshot with live counters,
// prices and provider connections resolved. One pointer load a request; nothing
// that it reaches through maps or names is looked up twice.
package view

import (
	"fmt"
	"sort"
	"time"

	"github.com/tallygate/tallygate/gateway/internal/counter"
	"github.com/tallygate/tallygate/gateway/internal/dialect/openai"
	"github.com/tallygate/tallygate/schemas/key"
	"github.com/tallygate/tallygate/schemas/policy"
	"github.com/tallygate/tallygate/schemas/price"
)

// View is one policy version, ready to decide by. It never changes.
type View struct {
	Version uint64
	// Missing says of each target that cannot be used why that is, in no order.
	Missing []string
	keys    map[key.Digest]*Key
}

// Key returns the virtual key of a digest, or nil.
func (v *View) Key(d key.Digest) *Key { return v.keys[d] }

// Keys returns how many virtual keys there are.
func (v *View) Keys() int { return len(v.keys) }

// Key is a virtual key with its live rules.
type Key struct {
	*policy.Key
	Budgets []*counter.Budget
	// Requests and Tokens are the limits by their unit.
	Requests, Tokens []*counter.Limit
	models           map[string]*Model
	// ModelIDs are the models it may use, in order.
	ModelIDs []string
	// ModelList is the answer to GET /v1/models.
	ModelList []byte
}

// Model returns a model that the key may use, or nil. The name is not kept.
func (k *Key) Model(name []byte) *Model { return k.models[string(name)] }

// Model is a name that clients use, with where it leads.
type Model struct {
	*policy.Model
	// Targets are those whose provider is usable, in order.
	Targets []Target
	// CreatedAt is when this view first listed it, seconds since the Unix epoch.
	CreatedAt int64
}

// Target is a model of a provider.
type Target struct {
	Provider string
	// Model is the name sent upstream.
	Model string
	// Upstream is the connection to the provider.
	Upstream *Upstream
	// Prices is nil if the model has no price.
	Prices *price.Series
}

// Builder makes views. It is used by one goroutine.
type Builder struct {
	Counters  *counter.Table
	Upstreams *Upstreams
	Prices    *price.List
}

// Build resolves a snapshot. Connections to providers that it has no more are
// closed, once the calls on them have ended.
func (b *Builder) Build(s *policy.Snapshot) *View {
	v := &View{Version: s.Version, keys: make(map[key.Digest]*Key, len(s.Keys))}
	models := make(map[string]*Model, len(s.Models))
	created := time.Now().Unix()
	for id, m := range s.Models {
		models[id] = b.model(v, m, created)
	}
	b.Upstreams.closeUnused(models)
	// Every counter that a rule names is attached once and shared by the keys under it.
	for digest, k := range s.Keys {
		v.keys[digest] = b.key(k, models, created)
	}
	return v
}

func (b *Builder) model(v *View, m *policy.Model, created int64) *Model {
	out := &Model{Model: m, CreatedAt: created}
	for _, t := range m.Targets {
		up, err := b.Upstreams.Get(t.Provider)
		if err != nil {
			v.Missing = append(v.Missing, fmt.Sprintf("model %q: %s", m.ID, err))
			continue
		}
		out.Targets = append(out.Targets, Target{
			Provider: t.Provider.ID, Model: t.Model, Upstream: up, Prices: b.Prices.Series(t.Provider.ID, t.Model),
		})
	}
	return out
}

func (b *Builder) key(k *policy.Key, models map[string]*Model, created int64) *Key {
	out := &Key{Key: k, Budgets: b.Counters.Budgets(k.Budgets), models: make(map[string]*Model, len(k.Models))}
	for _, l := range b.Counters.Limits(k.Limits) {
		if l.Rule.Tokens {
			out.Tokens = append(out.Tokens, l)
		} else {
			out.Requests = append(out.Requests, l)
		}
	}
	for id := range k.Models {
		out.models[id] = models[id]
		out.ModelIDs = append(out.ModelIDs, id)
	}
	sort.Strings(out.ModelIDs)
	out.ModelList = openai.AppendModels(nil, out.ModelIDs, created)
	return out
}
