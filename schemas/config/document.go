package config

import (
	"encoding"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxFileBytes bounds what is read as a document.
const maxFileBytes = 16 << 20

// Document is a YAML file that was decoded: it knows the line of each value.
type Document struct {
	name  string
	lines map[string]int
}

// ReadFile reads a file that is decoded later, at most 16 MiB of it.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFileBytes)
	}
	return data, nil
}

// Decode reads one YAML document into the struct that into points to. It is
// stricter than YAML: unknown and repeated fields, empty values, further
// documents, anchors and aliases are mistakes. (Aliases let a small file grow
// without bound when it is read.) What is not in the document keeps its value.
// The name is used in mistakes.
func Decode(name string, data []byte, into any) (*Document, Mistakes) {
	d := &decoder{doc: &Document{name: name, lines: map[string]int{}}}
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	var root, more yaml.Node
	switch err := dec.Decode(&root); {
	case errors.Is(err, io.EOF):
		return d.doc, nil
	case err != nil:
		return d.doc, Mistakes{syntaxMistake(name, err)}
	}
	switch err := dec.Decode(&more); {
	case err == nil:
		d.wrong(&more, "", "a second YAML document; there must be one")
	case !errors.Is(err, io.EOF):
		return d.doc, Mistakes{syntaxMistake(name, err)}
	}
	if top := root.Content[0]; !isNull(top) {
		d.value(top, reflect.ValueOf(into).Elem(), "")
	}
	return d.doc, d.mistakes
}

// Place fills in where mistakes are, by their fields, and puts them in the
// document's order. Those that have a file already keep it.
func (d *Document) Place(mistakes Mistakes) Mistakes {
	for i := range mistakes {
		if m := &mistakes[i]; m.File == "" {
			m.File, m.Line = d.name, d.lineOf(m.Field)
		}
	}
	sort.SliceStable(mistakes, func(i, j int) bool { return mistakes[i].Line < mistakes[j].Line })
	return mistakes
}

// lineOf returns the line of the value, or of the nearest thing around it that
// is in the file: a missing field is reported where it is missing.
func (d *Document) lineOf(path string) int {
	for ; path != ""; path = parent(path) {
		if n, ok := d.lines[path]; ok {
			return n
		}
	}
	return 0
}

type decoder struct {
	doc      *Document
	mistakes Mistakes
}

func (d *decoder) wrong(n *yaml.Node, path, format string, args ...any) {
	if len(d.mistakes) < maxMistakes {
		d.mistakes = append(d.mistakes, Mistake{File: d.doc.name, Line: n.Line, Field: path, Problem: fmt.Sprintf(format, args...)})
	}
}

func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		d.wrong(n, path, "anchors and aliases are not supported; write the value out")
		return
	}
	switch {
	case isScalar(v):
		d.scalar(n, v, path)
	case isNull(n):
		// A section without content is one that is left out.
	case v.Kind() == reflect.Struct:
		d.mapping(n, v, path)
	case v.Kind() == reflect.Slice:
		d.list(n, v, path)
	default:
		panic("BUG: the field " + path + " has a type that a document cannot hold: " + v.Type().String())
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.wrong(n, path, "must be a mapping of fields, got %s", describe(n))
		return
	}
	fields := map[string]reflect.Value{}
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("yaml"); name != "-" {
			fields[name] = v.Field(i)
		}
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, content := n.Content[i], n.Content[i+1]
		p := key.Value
		if path != "" {
			p = path + "." + p
		}
		field, ok := fields[key.Value]
		if first, repeated := seen[key.Value]; repeated {
			d.wrong(key, p, "stands twice; first in line %d", first)
			continue
		}
		seen[key.Value] = key.Line
		if !ok || key.Kind != yaml.ScalarNode {
			d.wrong(key, p, "unknown field%s", suggest(key.Value, fields))
			continue
		}
		d.doc.lines[p] = key.Line
		d.value(content, field, p)
	}
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.wrong(n, path, "must be a list, got %s", describe(n))
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		p := path + "[" + strconv.Itoa(i) + "]"
		d.doc.lines[p] = c.Line
		if isNull(c) {
			d.wrong(c, p, "is empty")
			continue
		}
		d.value(c, out.Index(i), p)
	}
	v.Set(out)
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		d.wrong(n, path, "must be %s, got %s", want(v.Type()), describe(n))
		return
	}
	if isNull(n) {
		d.wrong(n, path, "has no value; remove the line for the default")
		return
	}
	// Types of our own say best themselves what is wrong.
	u, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
	if _, isTime := u.(*time.Time); ok && !isTime {
		if err := u.UnmarshalText([]byte(n.Value)); err != nil {
			d.wrong(n, path, "%v", err)
		}
		return
	}
	if !setScalar(v, n) {
		d.wrong(n, path, "must be %s, got %s", want(v.Type()), describe(n))
	}
}

// setScalar reads a scalar by its field's type and not by YAML's rules, which cut
// 1.9 to a whole number, take 010 for eight and a bare number for nanoseconds.
func setScalar(v reflect.Value, n *yaml.Node) bool {
	var err error
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		*p, err = time.ParseDuration(n.Value)
		return err == nil
	case *time.Time:
		*p, err = time.Parse(time.RFC3339Nano, n.Value)
		return err == nil
	}
	// Quotes make a text of a number, and text is not what such a field holds.
	plain := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
	digits := strings.ReplaceAll(n.Value, "_", "")
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Value)
		return true
	case reflect.Bool:
		v.SetBool(n.Value == "true")
		return plain && (n.Value == "true" || n.Value == "false")
	case reflect.Int, reflect.Int64:
		var i int64
		if i, err = strconv.ParseInt(digits, 10, v.Type().Bits()); err == nil {
			v.SetInt(i)
		}
	case reflect.Uint64:
		var u uint64
		if u, err = strconv.ParseUint(digits, 10, 64); err == nil {
			v.SetUint(u)
		}
	default:
		panic("BUG: no scalar of the type " + v.Type().String() + " can be read")
	}
	return plain && err == nil
}

// isScalar says if a value is written as one word of text.
func isScalar(v reflect.Value) bool {
	if _, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return true
	}
	switch v.Kind() {
	case reflect.Struct, reflect.Slice, reflect.Map, reflect.Pointer, reflect.Interface:
		return false
	}
	return true
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// want says what a scalar of a type must be, with an example where it helps.
func want(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "a duration such as 50ms or 2m"
	case reflect.TypeFor[time.Time]():
		return "a moment such as 2027-01-31T00:00:00Z"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	}
	return "a whole number, not negative"
}

// describe says what stands in the file. Long texts are cut: they may be anything.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	const most = 40
	if len(n.Value) > most {
		return fmt.Sprintf("%q…", n.Value[:most])
	}
	return strconv.Quote(n.Value)
}

// suggest names the field that was probably meant.
func suggest(name string, fields map[string]reflect.Value) string {
	flat := func(s string) string { return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s)) }
	for f := range fields {
		if flat(f) == flat(name) {
			return fmt.Sprintf("; did you mean %q?", f)
		}
	}
	return ""
}

// syntaxMistake turns the library's "yaml: line 3: …" into ours. It leaves the
// first line out.
func syntaxMistake(name string, err error) Mistake {
	m := Mistake{File: name, Line: 1, Problem: strings.TrimPrefix(err.Error(), "yaml: ")}
	if rest, ok := strings.CutPrefix(m.Problem, "line "); ok {
		if line, problem, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(line); err == nil {
				m.Line, m.Problem = n, problem
			}
		}
	}
	return m
}
