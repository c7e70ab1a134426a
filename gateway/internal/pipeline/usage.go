package pipeline

import (
	"encoding/json"
	"time"

	"github.com/tallygate/tallygate/gateway/internal/counter"
	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/policy"
)

// usageAnswer is the answer to GET /v1/usage: what the calling key may do and
// what is left to it. Money is in dollars, as decimal text.
type usageAnswer struct {
	Object        string        `json:"object"`
	Key           usageKey      `json:"key"`
	Budgets       []usageBudget `json:"budgets"`
	Limits        []usageLimit  `json:"limits"`
	Models        []string      `json:"models"`
	PolicyVersion uint64        `json:"policy_version"`
}

type usageKey struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Org       string     `json:"org"`
	Team      string     `json:"team"`
	App       string     `json:"app"`
	ExpiresAt *time.Time `json:"expires_at"`
}

type usageScope struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

type usageBudget struct {
	ID     string     `json:"id"`
	Scope  usageScope `json:"scope"`
	Window string     `json:"window"`
	// WindowStart and WindowEnd are null for a total budget.
	WindowStart *time.Time `json:"window_start"`
	WindowEnd   *time.Time `json:"window_end"`
	LimitUSD    string     `json:"limit_usd"`
	// UsedUSD includes what running calls may cost.
	UsedUSD string `json:"used_usd"`
	LeftUSD string `json:"left_usd"`
}

type usageLimit struct {
	ID         string     `json:"id"`
	Scope      usageScope `json:"scope"`
	Unit       string     `json:"unit"`
	Amount     uint64     `json:"amount"`
	PerSeconds int64      `json:"per_seconds"`
	Burst      uint64     `json:"burst"`
	// Left is what this replica would let pass at this moment.
	Left uint64 `json:"left"`
}

// usage shows a key what is left to it.
func (r *Request) usage() {
	k := r.key
	a := usageAnswer{
		Object: "usage", PolicyVersion: r.view.Version, Models: k.ModelIDs,
		Key:     usageKey{ID: k.ID, Name: k.Name, Org: k.Org, Team: k.Team, App: k.App, ExpiresAt: timeOf(k.ExpiresAt)},
		Budgets: []usageBudget{}, Limits: []usageLimit{},
	}
	for _, b := range k.Budgets {
		w := b.At(r.now)
		out := usageBudget{
			ID: b.Rule.ID, Scope: scopeOf(b.Rule.Scope), Window: b.Rule.WindowStr, LimitUSD: config.USD(b.Rule.CapNanos).String(),
			UsedUSD: config.USD(w.Used()).String(), LeftUSD: config.USD(max(b.Rule.CapNanos-w.Used(), 0)).String(),
		}
		if b.Rule.WindowStr != config.WindowTotal {
			out.WindowStart, out.WindowEnd = timeOf(w.Start), timeOf(w.End)
		}
		a.Budgets = append(a.Budgets, out)
	}
	for _, limits := range [][]*counter.Limit{k.Requests, k.Tokens} {
		for _, l := range limits {
			a.Limits = append(a.Limits, usageLimit{
				ID: l.Rule.ID, Scope: scopeOf(l.Rule.Scope), Unit: l.Rule.Unit(), Amount: l.Rule.Rate.Amount,
				PerSeconds: l.Rule.Rate.PerNanos / int64(time.Second), Burst: l.Rule.Rate.Burst, Left: l.Left(r.now),
			})
		}
	}
	body, err := json.Marshal(&a)
	if err != nil {
		panic("BUG: usage cannot be encoded: " + err.Error())
	}
	r.serveBody(body)
}

func scopeOf(ref policy.Ref) usageScope { return usageScope{Kind: string(ref.Kind), ID: ref.ID} }

func timeOf(nanos int64) *time.Time {
	if nanos == 0 {
		return nil
	}
	t := time.Unix(0, nanos).UTC()
	return &t
}
