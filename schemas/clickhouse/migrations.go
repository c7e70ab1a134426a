// Package clickhouse holds the tables of Tallygate in ClickHouse, as migrations. Each
// is a pair of files, NNNN_name.up.sql and NNNN_name.down.sql, numbered from 1 without
// a gap; a file that was ever released is never edited.
package clickhouse

import (
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

//go:embed migrations/*.sql
var files embed.FS

// Migration is one step of the schema.
type Migration struct {
	// Version counts from 1.
	Version int
	Name    string
	// Up and Down are the statements, in order. Each may be run again without harm,
	// also by two migrators at once: ClickHouse has neither transactions nor locks that
	// would prevent it.
	Up, Down []string
}

var (
	nameRE = regexp.MustCompile(`^(\d{4})_([a-z0-9_]+)\.(up|down)\.sql$`)
	// repeatableRE matches statements that do nothing when they were run before.
	repeatableRE = regexp.MustCompile(`(?is)^(CREATE\s+(TABLE|VIEW|MATERIALIZED VIEW|DICTIONARY)\s+IF NOT EXISTS|DROP\s+(TABLE|VIEW|DICTIONARY)\s+IF EXISTS|ALTER\s+TABLE\s+\S+\s+(ADD\s+\S+\s+IF NOT EXISTS|DROP\s+\S+\s+IF EXISTS|MODIFY\s))`)
)

// Migrations returns all steps in order, or says which file breaks the rules.
func Migrations() ([]Migration, error) { return parse(files) }

func parse(dir fs.FS) ([]Migration, error) {
	entries, err := fs.ReadDir(dir, "migrations")
	if err != nil {
		return nil, fmt.Errorf("cannot list the migrations: %w", err)
	}
	byVersion := map[int]*Migration{}
	for _, e := range entries {
		g := nameRE.FindStringSubmatch(e.Name())
		if g == nil {
			return nil, fmt.Errorf("migration %q: the name must be NNNN_name.up.sql or NNNN_name.down.sql", e.Name())
		}
		text, err := fs.ReadFile(dir, "migrations/"+e.Name())
		if err != nil {
			return nil, fmt.Errorf("cannot read migration %q: %w", e.Name(), err)
		}
		statements, err := split(string(text))
		if err != nil {
			return nil, fmt.Errorf("migration %q: %w", e.Name(), err)
		}
		version, _ := strconv.Atoi(g[1])
		m := byVersion[version]
		if m == nil {
			m = &Migration{Version: version, Name: g[2]}
			byVersion[version] = m
		}
		if m.Name != g[2] {
			return nil, fmt.Errorf("migration %04d has two names, %q and %q", version, m.Name, g[2])
		}
		if g[3] == "up" {
			m.Up = statements
		} else {
			m.Down = statements
		}
	}
	out := make([]Migration, 0, len(byVersion))
	for _, m := range byVersion {
		out = append(out, *m)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Version < out[j].Version })
	for i, m := range out {
		if m.Version != i+1 {
			return nil, fmt.Errorf("migration %04d is missing", i+1)
		}
		if m.Up == nil || m.Down == nil {
			return nil, fmt.Errorf("migration %04d_%s must have both an up and a down file", m.Version, m.Name)
		}
	}
	return out, nil
}

// split cuts a file into statements: each ends in a semicolon at the end of a line.
// Comment lines before a statement are dropped.
func split(text string) ([]string, error) {
	var out []string
	for part := range strings.SplitSeq(text+"\n", ";\n") {
		for {
			part = strings.TrimSpace(part)
			if !strings.HasPrefix(part, "--") {
				break
			}
			_, part, _ = strings.Cut(part, "\n")
		}
		if part == "" {
			continue
		}
		if !repeatableRE.MatchString(part) {
			first, _, _ := strings.Cut(part, "\n")
			return nil, fmt.Errorf("the statement %q must do nothing when it is run again: use IF NOT EXISTS or IF EXISTS", first)
		}
		out = append(out, part)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("there is no statement; each must end in a semicolon at the end of a line")
	}
	return out, nil
}
