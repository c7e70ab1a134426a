package config

import (
	"fmt"
	"os"
	"strings"
)

// Load reads, decodes and checks a configuration file, and applies the
// environment's overrides. Its error is of type Mistakes if the content is wrong.
func Load(path string) (*Config, error) {
	data, err := ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w; name the file with -config or TALLYGATE_CONFIG", err)
	}
	return Parse(path, data, os.LookupEnv)
}

// Parse decodes and checks a configuration. The name is used in errors; lookup
// gives environment variables, as os.LookupEnv does. Fields that decode wrongly
// keep their defaults, so that the rest is checked all the same.
func Parse(name string, data []byte, lookup func(string) (string, bool)) (*Config, error) {
	c := Default()
	doc, mistakes := Decode(name, data, c)
	variables := override(c, lookup)
	mistakes = append(mistakes, checkAfter(mistakes, c.Validate(), variables)...)
	if len(mistakes) > 0 {
		return nil, doc.Place(mistakes)
	}
	return c, nil
}

// checkAfter returns what is wrong beyond what is known already: a field that
// could not be decoded is reported once, without what would have been in it. What
// came from a variable is reported under the variable's name.
func checkAfter(known, found Mistakes, variables map[string]string) Mistakes {
	undecoded := map[string]bool{}
	for _, m := range known {
		undecoded[m.Field] = true
	}
	var out Mistakes
	for _, m := range found {
		if variable, ok := variables[m.Field]; ok {
			m.File, m.Field = environment, variable
		} else if within(m.Field, undecoded) {
			continue
		}
		out = append(out, m)
	}
	return out
}

// within says if a field, or a thing that it is part of, is in the set.
func within(field string, set map[string]bool) bool {
	for ; field != ""; field = parent(field) {
		if set[field] {
			return true
		}
	}
	return false
}

// parent returns the path of what a value is part of, or "".
func parent(path string) string { return path[:max(strings.LastIndexAny(path, ".["), 0)] }
