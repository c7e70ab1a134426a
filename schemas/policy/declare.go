package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/key"
)

// Declared returns the entities that a configuration declares. Virtual keys are
// resolved and digested; the keys themselves go no further. An error lists every
// key that is missing, malformed or given twice, by its id.
func Declared(p *config.Policy, digester *key.Digester) ([]*event.Change, error) {
	d := declarer{digester: digester, digests: map[key.Digest]string{}}
	for i := range p.Providers {
		x := &p.Providers[i]
		d.add(&event.Change{Change: &event.Change_Provider{Provider: &event.Provider{
			Id: x.ID, Api: x.API, BaseUrl: x.BaseURL, Credential: string(x.Credential)}}})
	}
	for i := range p.Models {
		m := &event.Model{Id: p.Models[i].ID, DefaultOutputTokens: p.Models[i].DefaultOutputTokens}
		for _, t := range p.Models[i].Targets {
			m.Targets = append(m.Targets, &event.ModelTarget{Provider: t.Provider, Model: t.Model})
		}
		d.add(&event.Change{Change: &event.Change_Model{Model: m}})
	}
	for i := range p.Orgs {
		d.org(&p.Orgs[i])
	}
	return d.changes, errors.Join(d.errs...)
}

type declarer struct {
	digester *key.Digester
	digests  map[key.Digest]string
	changes  []*event.Change
	errs     []error
}

func (d *declarer) add(c *event.Change) { d.changes = append(d.changes, c) }

func (d *declarer) org(o *config.Org) {
	d.add(&event.Change{Change: &event.Change_Org{Org: &event.Org{Id: o.ID, Name: o.Name}}})
	d.rules(KindOrg, o.ID, o.Budgets, o.Limits)
	for i := range o.Teams {
		t := &o.Teams[i]
		d.add(&event.Change{Change: &event.Change_Team{Team: &event.Team{Id: t.ID, Org: o.ID, Name: t.Name}}})
		d.rules(KindTeam, t.ID, t.Budgets, t.Limits)
		for i := range t.Apps {
			a := &t.Apps[i]
			d.add(&event.Change{Change: &event.Change_App{App: &event.App{Id: a.ID, Team: t.ID, Name: a.Name}}})
			d.rules(KindApp, a.ID, a.Budgets, a.Limits)
			for i := range a.Keys {
				d.key(a.ID, &a.Keys[i])
			}
		}
	}
}

func (d *declarer) key(app string, k *config.Key) {
	digest, err := d.digest(k)
	if err != nil {
		d.errs = append(d.errs, fmt.Errorf("key %q: %w", k.ID, err))
		return
	}
	if other, ok := d.digests[digest]; ok {
		d.errs = append(d.errs, fmt.Errorf("key %q: it is the same as key %q; make one of its own with `tallyctl key new`", k.ID, other))
		return
	}
	d.digests[digest] = k.ID
	out := &event.Key{Id: k.ID, App: app, Name: k.Name, Digest: digest[:], Models: k.Models, Disabled: k.Disabled}
	if !k.ExpiresAt.IsZero() {
		out.ExpiresAt = k.ExpiresAt.UnixNano()
	}
	d.add(&event.Change{Change: &event.Change_Key{Key: out}})
	d.rules(KindKey, k.ID, k.Budgets, k.Limits)
}

func (d *declarer) digest(k *config.Key) (key.Digest, error) {
	secret, err := k.Secret.Resolve()
	if err != nil {
		return key.Digest{}, err
	}
	if err := key.Check([]byte(secret)); err != nil {
		return key.Digest{}, fmt.Errorf("%s holds %w; make one with `tallyctl key new`", k.Secret, err)
	}
	return d.digester.Digest([]byte(secret)), nil
}

func (d *declarer) rules(kind Kind, id string, budgets []config.Budget, limits []config.RateLimit) {
	scope := &event.Scope{Kind: string(kind), Id: id}
	for _, b := range budgets {
		d.add(&event.Change{Change: &event.Change_Budget{Budget: &event.Budget{
			Id: b.ID, Scope: scope, AmountNanos: int64(b.AmountUSD), Window: b.Window, Mode: b.Mode}}})
	}
	for _, l := range limits {
		d.add(&event.Change{Change: &event.Change_Limit{Limit: &event.RateLimit{
			Id: l.ID, Scope: scope, Unit: l.Unit, Amount: l.Amount, PerSeconds: uint64(l.Per / time.Second), Burst: l.Burst}}})
	}
}

// Diff returns the control event that turns the state into what is declared, or
// nil if there is nothing to change. Its command id depends on the change and on
// the version of the state that it starts from, so that replicas that start at once
// write the same command, and all but the first are no-ops. The versions of the
// entities would not do: one that was removed is at zero again, and what brought it
// the first time would be taken for a repetition for ever.
func (s *State) Diff(declared []*event.Change) *event.ControlEvent {
	ev := &event.ControlEvent{SchemaVersion: event.SchemaVersion}
	seen := map[Ref]bool{}
	expect := func(ref Ref) {
		ev.Expects = append(ev.Expects, &event.Expectation{Kind: string(ref.Kind), Id: ref.ID, Version: s.entities[ref].Version})
	}
	for _, c := range declared {
		ref, _ := refOf(c)
		seen[ref] = true
		if !proto.Equal(s.entities[ref].Change, c) {
			expect(ref)
			ev.Changes = append(ev.Changes, c)
		}
	}
	for _, ref := range s.Refs() {
		if !seen[ref] {
			expect(ref)
			ev.Changes = append(ev.Changes, &event.Change{Change: &event.Change_Removed{
				Removed: &event.Removed{Kind: string(ref.Kind), Id: ref.ID}}})
		}
	}
	if len(ev.Changes) == 0 {
		return nil
	}
	slices.SortFunc(ev.Expects, func(a, b *event.Expectation) int {
		return compareRefs(Ref{Kind(a.Kind), a.Id}, Ref{Kind(b.Kind), b.Id})
	})
	bytes, err := proto.MarshalOptions{Deterministic: true}.Marshal(ev)
	if err != nil {
		panic("BUG: a control event cannot be encoded: " + err.Error())
	}
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(bytes, s.Version))
	ev.CommandId = sum[:16]
	return ev
}
