package ledger

import "slices"

// sequence knows which events of one spool were seen. A spool's events come in
// order of pseq, from 1; after a crash some come twice.
type sequence struct {
	// seen is the highest pseq met.
	seen uint64
	// missing are the gaps below seen, in order. They are never forgotten unless
	// what is missing turns up.
	missing []gap
	closed  bool
}

// gap is a run of pseq that were never met: first ≤ pseq < end.
type gap struct{ first, end uint64 }

// take notes an event and says if it is new. opened is true if a gap opened before it.
func (s *sequence) take(pseq uint64) (fresh, opened bool) {
	switch {
	case pseq == s.seen+1:
		s.seen = pseq
		return true, false
	case pseq > s.seen:
		s.missing = append(s.missing, gap{s.seen + 1, pseq})
		s.seen = pseq
		return true, true
	}
	return s.fill(pseq), false
}

// fill closes the part of a gap that pseq is in, if there is one.
func (s *sequence) fill(pseq uint64) bool {
	i := slices.IndexFunc(s.missing, func(g gap) bool { return pseq >= g.first && pseq < g.end })
	if i < 0 {
		return false
	}
	var rest []gap
	if g := s.missing[i]; g.first < pseq {
		rest = append(rest, gap{g.first, pseq})
	}
	if g := s.missing[i]; pseq+1 < g.end {
		rest = append(rest, gap{pseq + 1, g.end})
	}
	s.missing = slices.Replace(s.missing, i, i+1, rest...)
	return true
}

// has says if an event was seen.
func (s *sequence) has(pseq uint64) bool {
	return pseq <= s.seen && !slices.ContainsFunc(s.missing, func(g gap) bool { return pseq >= g.first && pseq < g.end })
}
