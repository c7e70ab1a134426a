package view

import (
	"fmt"
	"strings"
	"sync"

	"github.com/tallygate/tallygate/gateway/internal/provider"
	"github.com/tallygate/tallygate/gateway/internal/provider/registry"
	"github.com/tallygate/tallygate/gateway/internal/upstream"
	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/policy"
)

// Upstream is a provider as this process reaches it.
type Upstream struct {
	API     provider.Provider
	BaseURL string
	Pool    *upstream.Pool
	// Credential is the resolved secret; CredentialID is what stands for it in events.
	Credential   provider.Credential
	CredentialID string
}

// Upstreams keeps connections across policy snapshots: a provider whose settings
// did not change keeps its pool.
type Upstreams struct {
	// Options bounds calls.
	Options upstream.Options
	// BaseURL returns the environment's override for a provider, or "".
	BaseURL func(provider string) string

	mu   sync.Mutex
	open map[upstreamKey]*Upstream
}

type upstreamKey struct{ id, api, baseURL, credential string }

// Get returns the connection to a provider. The error says why there is none; it
// holds no secret.
func (u *Upstreams) Get(p *policy.Provider) (*Upstream, error) {
	baseURL := p.BaseURL
	if over := u.BaseURL(p.ID); over != "" {
		baseURL = over
	}
	baseURL = strings.TrimRight(baseURL, "/")
	k := upstreamKey{p.ID, p.API, baseURL, p.Credential}
	u.mu.Lock()
	defer u.mu.Unlock()
	if up := u.open[k]; up != nil {
		return up, nil
	}
	api := registry.Lookup(p.API)
	if api == nil {
		return nil, fmt.Errorf("provider %q: this gateway does not speak the API %q", p.ID, p.API)
	}
	secret, err := config.SecretRef(p.Credential).Resolve()
	if err != nil {
		return nil, fmt.Errorf("provider %q: %w", p.ID, err)
	}
	pool, err := upstream.New(baseURL, u.Options)
	if err != nil {
		return nil, fmt.Errorf("provider %q: %w", p.ID, err)
	}
	up := &Upstream{API: api, BaseURL: baseURL, Pool: pool, Credential: provider.NewCredential(secret), CredentialID: p.Credential}
	if u.open == nil {
		u.open = map[upstreamKey]*Upstream{}
	}
	u.open[k] = up
	return up, nil
}

// closeUnused closes the connections to providers that no target leads to. Get
// opens new ones if they come back.
func (u *Upstreams) closeUnused(models map[string]*Model) {
	used := map[*Upstream]bool{}
	for _, m := range models {
		for i := range m.Targets {
			used[m.Targets[i].Upstream] = true
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for k, up := range u.open {
		if !used[up] {
			up.Pool.Close()
			delete(u.open, k)
		}
	}
}
