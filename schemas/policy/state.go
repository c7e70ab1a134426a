// Package policy folds the control log into the state that requests are decided
// by: State is the log's entities, Snapshot the immutable, linked form that the
// hot path reads.
package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/tallygate/tallygate/schemas/event"
)

// Kind names a sort of entity, as in event.Expectation and event.Removed.
type Kind string

// Kinds of entities.
const (
	KindOrg      Kind = "org"
	KindTeam     Kind = "team"
	KindApp      Kind = "app"
	KindKey      Kind = "key"
	KindProvider Kind = "provider"
	KindModel    Kind = "model"
	KindBudget   Kind = "budget"
	KindLimit    Kind = "limit"
)

// Ref names an entity.
type Ref struct {
	Kind Kind
	ID   string
}

// Entity is a policy entity as the log last wrote it.
type Entity struct {
	Change *event.Change
	// Version is the policy version that last changed it.
	Version uint64
}

// State is the control log up to Version, folded. It is not safe for concurrent use.
type State struct {
	// Version is the number of control records folded: the offset of the last one plus one.
	Version  uint64
	entities map[Ref]Entity
	commands map[[16]byte]struct{}
}

// NewState returns the state of an empty log.
func NewState() *State {
	return &State{entities: map[Ref]Entity{}, commands: map[[16]byte]struct{}{}}
}

// Get returns an entity and whether it exists.
func (s *State) Get(ref Ref) (Entity, bool) {
	e, ok := s.entities[ref]
	return e, ok
}

// Refs lists all entities, ordered by kind and id.
func (s *State) Refs() []Ref {
	return slices.SortedFunc(maps.Keys(s.entities), compareRefs)
}

// Digest returns the SHA-256 of the canonical state: two replicas at one version
// have the same digest, or one of them is broken. Each part is preceded by its
// length, so that no two states are the same bytes.
func (s *State) Digest() ([32]byte, error) {
	h := sha256.New()
	marshal := proto.MarshalOptions{Deterministic: true}
	var buf []byte
	for _, ref := range s.Refs() {
		e := s.entities[ref]
		for _, part := range []proto.Message{&event.Expectation{Kind: string(ref.Kind), Id: ref.ID, Version: e.Version}, e.Change} {
			var err error
			if buf, err = marshal.MarshalAppend(append(buf[:0], make([]byte, 8)...), part); err != nil {
				return [32]byte{}, err
			}
			binary.BigEndian.PutUint64(buf, uint64(len(buf)-8))
			h.Write(buf)
		}
	}
	return [32]byte(h.Sum(nil)), nil
}

func compareRefs(a, b Ref) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
}
