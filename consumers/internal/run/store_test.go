package run_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"

	"github.com/tallygate/tallygate/consumers/internal/clickhouse"
	"github.com/tallygate/tallygate/consumers/internal/projection"
)

// store stands for ClickHouse: it drops what comes under a token that it has seen,
// and fails as it is told.
type store struct {
	t *testing.T

	mu     sync.Mutex
	tokens map[string][]projection.Row
	rows   []projection.Row
	execs  int
	// fault decides on each insert: "" lets it through, "before" fails it, "after"
	// stores the rows and loses the answer.
	fault func() string
	// rejected says which rows do not fit.
	rejected func(projection.Row) bool
	// forgetful is the control: a table without deduplication.
	forgetful bool
}

var errAway = errors.New("connection refused")

func newStore(t *testing.T) *store {
	return &store{t: t, tokens: map[string][]projection.Row{}, fault: func() string { return "" }}
}

func (s *store) Insert(_ context.Context, token string, rows []projection.Row) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	fault := s.fault()
	if fault == "before" {
		return errAway
	}
	if s.rejected != nil {
		for _, r := range rows {
			if s.rejected(r) {
				return fmt.Errorf("%w: it does not fit", clickhouse.ErrRejected)
			}
		}
	}
	seen, ok := s.tokens[token]
	if ok && !reflect.DeepEqual(seen, rows) {
		s.t.Errorf("token %q came with other rows: they would be dropped", token)
	}
	if !ok || s.forgetful {
		s.tokens[token] = append([]projection.Row{}, rows...)
		s.rows = append(s.rows, rows...)
	}
	if fault == "after" {
		return errAway
	}
	return nil
}

func (s *store) Exec(context.Context, string, ...any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.execs++
	return nil
}

func (s *store) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *store) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.rows)
}

// texts counts the rows by their content.
func texts(rows []projection.Row) map[string]int {
	out := map[string]int{}
	for _, r := range rows {
		out[fmt.Sprintf("%+v", r)]++
	}
	return out
}

// flaky fails a third of the inserts, before or after they are stored.
func flaky(rng *rand.Rand) func() string {
	return func() string {
		switch rng.IntN(6) {
		case 0:
			return "before"
		case 1:
			return "after"
		}
		return ""
	}
}
