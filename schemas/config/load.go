package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFileBytes bounds what is read as a configuration.
const maxFileBytes = 16 << 20

// Load reads, decodes and checks a configuration file, and applies the
// environment's overrides. Its error is of type Mistakes if the content is wrong.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w; name the file with -config or TALLYGATE_CONFIG", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration %q: %w", path, err)
	}
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("cannot read the configuration %q: it is larger than %d bytes", path, maxFileBytes)
	}
	return Parse(path, data, os.LookupEnv)
}

// Parse decodes and checks a configuration. The name is used in errors; lookup
// gives environment variables, as os.LookupEnv does.
func Parse(name string, data []byte, lookup func(string) (string, bool)) (*Config, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return nil, decodeMistakes(name, err, nil)
	}
	lines := map[string]int{}
	indexLines(&root, "", lines)

	c := Default()
	var mistakes Mistakes
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(c); err != nil && !errors.Is(err, io.EOF) {
		mistakes = decodeMistakes(name, err, lines)
	} else if err == nil {
		var more yaml.Node
		if dec.Decode(&more) == nil {
			mistakes = append(mistakes, Mistake{File: name, Line: more.Line, Problem: "a second YAML document; there must be one"})
		}
	}
	mistakes = append(mistakes, override(c, lookup)...)
	for _, m := range c.Validate() {
		m.File, m.Line = name, lineOf(m.Field, lines)
		mistakes = append(mistakes, m)
	}
	if len(mistakes) > 0 {
		sort.SliceStable(mistakes, func(i, j int) bool { return mistakes[i].Line < mistakes[j].Line })
		return nil, mistakes
	}
	return c, nil
}

// indexLines notes the line of each value's key by the value's path.
func indexLines(n *yaml.Node, path string, lines map[string]int) {
	switch n.Kind {
	case yaml.DocumentNode:
		for _, c := range n.Content {
			indexLines(c, path, lines)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			p := n.Content[i].Value
			if path != "" {
				p = path + "." + p
			}
			lines[p] = n.Content[i].Line
			indexLines(n.Content[i+1], p, lines)
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			p := path + "[" + strconv.Itoa(i) + "]"
			lines[p] = c.Line
			indexLines(c, p, lines)
		}
	}
}

// lineOf returns the line of the value, or of the nearest thing around it that
// is in the file: a missing field is reported where it is missing.
func lineOf(path string, lines map[string]int) int {
	for path != "" {
		if n, ok := lines[path]; ok {
			return n
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			break
		}
		path = path[:i]
	}
	return 0
}

var (
	lineRE    = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)
	unknownRE = regexp.MustCompile(`^field (\S+) not found in type \S+$`)
	typeRE    = regexp.MustCompile("^cannot unmarshal (!!\\S+) (?:`(.*)` )?into (\\S+)$")
)

// decodeMistakes turns the library's errors into ours.
func decodeMistakes(name string, err error, lines map[string]int) Mistakes {
	texts := []string{err.Error()}
	var te *yaml.TypeError
	if errors.As(err, &te) {
		texts = te.Errors
	}
	var out Mistakes
	for _, text := range texts {
		m := Mistake{File: name, Problem: text}
		if g := lineRE.FindStringSubmatch(text); g != nil {
			m.Line, _ = strconv.Atoi(g[1])
			m.Problem = g[2]
		}
		if g := unknownRE.FindStringSubmatch(m.Problem); g != nil {
			m.Field, m.Problem = fieldAt(m.Line, g[1], lines), "unknown field"
		} else if g := typeRE.FindStringSubmatch(m.Problem); g != nil {
			m.Field, m.Problem = fieldAt(m.Line, "", lines), fmt.Sprintf("must be a %s, got %s", typeName(g[3]), strings.TrimPrefix(g[1], "!!"))
		}
		out = append(out, m)
	}
	return out
}

// fieldAt returns the longest path on a line, which ends in the given name if there is one.
func fieldAt(line int, name string, lines map[string]int) string {
	best := name
	for p, n := range lines {
		if n == line && len(p) > len(best) && (name == "" || p == name || strings.HasSuffix(p, "."+name)) {
			best = p
		}
	}
	return best
}

func typeName(goType string) string {
	switch {
	case strings.HasPrefix(goType, "int"), strings.HasPrefix(goType, "uint"):
		return "whole number"
	case goType == "time.Duration":
		return `duration such as "50ms"`
	case goType == "bool":
		return "true or false"
	case strings.HasPrefix(goType, "[]"):
		return "list"
	case strings.HasPrefix(goType, "config."):
		return "mapping of " + strings.TrimPrefix(goType, "config.") + " fields"
	}
	return goType
}
