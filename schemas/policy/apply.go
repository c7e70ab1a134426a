package policy

import (
	"fmt"

	"github.com/tallygate/tallygate/schemas/event"
)

// Result says what became of a control event. Every reader of the log comes to
// the same one.
type Result struct {
	// Applied is false if the event changed nothing.
	Applied bool
	// Reason says why, if it changed nothing: a repeated command, a failed
	// expectation, a newer schema.
	Reason string
}

// Apply folds the control event at an offset into the state. All of its changes
// are made, or none. The version moves in any case.
func (s *State) Apply(offset int64, ev *event.ControlEvent) Result {
	s.Version = uint64(offset) + 1
	if ev.SchemaVersion > event.SchemaVersion {
		return Result{Reason: fmt.Sprintf("schema version %d is newer than %d", ev.SchemaVersion, event.SchemaVersion)}
	}
	var command [16]byte
	if copy(command[:], ev.CommandId) > 0 {
		if _, ok := s.commands[command]; ok {
			return Result{Reason: "the command was applied before"}
		}
	}
	for _, x := range ev.Expects {
		if got := s.entities[Ref{Kind(x.Kind), x.Id}].Version; got != x.Version {
			return Result{Reason: fmt.Sprintf("%s %q is at version %d, the event expects %d", x.Kind, x.Id, got, x.Version)}
		}
	}
	for _, c := range ev.Changes {
		if _, ok := refOf(c); !ok {
			return Result{Reason: "a change of an unknown kind"}
		}
	}
	for _, c := range ev.Changes {
		ref, _ := refOf(c)
		if c.GetRemoved() != nil {
			delete(s.entities, ref)
			continue
		}
		s.entities[ref] = Entity{Change: c, Version: s.Version}
	}
	if len(ev.CommandId) > 0 {
		s.commands[command] = struct{}{}
	}
	return Result{Applied: true}
}

// refOf names the entity that a change is of.
func refOf(c *event.Change) (Ref, bool) {
	switch c := c.GetChange().(type) {
	case *event.Change_Org:
		return Ref{KindOrg, c.Org.GetId()}, true
	case *event.Change_Team:
		return Ref{KindTeam, c.Team.GetId()}, true
	case *event.Change_App:
		return Ref{KindApp, c.App.GetId()}, true
	case *event.Change_Key:
		return Ref{KindKey, c.Key.GetId()}, true
	case *event.Change_Provider:
		return Ref{KindProvider, c.Provider.GetId()}, true
	case *event.Change_Model:
		return Ref{KindModel, c.Model.GetId()}, true
	case *event.Change_Budget:
		return Ref{KindBudget, c.Budget.GetId()}, true
	case *event.Change_Limit:
		return Ref{KindLimit, c.Limit.GetId()}, true
	case *event.Change_Removed:
		return Ref{Kind(c.Removed.GetKind()), c.Removed.GetId()}, true
	}
	return Ref{}, false
}
