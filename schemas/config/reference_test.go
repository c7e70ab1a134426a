package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite docs/config.md and docs/config.schema.json")

// The reference page and the JSON schema are made from this package's comments
// and defaults. The test fails when they differ from what is committed.
func TestReferenceIsUpToDate(t *testing.T) {
	comments := readComments(t)
	for path, want := range map[string][]byte{
		"../../docs/config.md":          markdown(t, comments),
		"../../docs/config.schema.json": jsonSchema(t, comments),
	} {
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the code says (%v); run: go test ./schemas/config -run Reference -update", path, err)
		}
	}
}

// readComments returns the comments of this package's types and fields, by "Type"
// and "Type.Field", in one line each.
func readComments(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	comments := map[string]string{}
	text := func(doc *ast.CommentGroup) string { return strings.Join(strings.Fields(doc.Text()), " ") }
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			decl, ok := n.(*ast.GenDecl)
			if !ok || decl.Tok != token.TYPE {
				return true
			}
			spec := decl.Specs[0].(*ast.TypeSpec)
			comments[spec.Name.Name] = text(decl.Doc)
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range s.Fields.List {
					for _, name := range f.Names {
						comments[spec.Name.Name+"."+name.Name] = text(f.Doc)
					}
				}
			}
			return true
		})
	}
	return comments
}

// meaning returns a field's comment under the name that stands in the file, without
// its default, and the default that the comment states, if any. What follows the
// default after a semicolon belongs to the meaning.
func meaning(t *testing.T, comments map[string]string, owner reflect.Type, f reflect.StructField) (text, stated string) {
	t.Helper()
	text, ok := strings.CutPrefix(comments[owner.Name()+"."+f.Name], f.Name+" ")
	if !ok {
		t.Fatalf("the comment of %s.%s must begin with its name", owner.Name(), f.Name)
	}
	text = "`" + f.Tag.Get("yaml") + "` " + text
	for _, mark := range []string{" Default: ", " Default "} {
		if before, after, ok := strings.Cut(text, mark); ok {
			stated, more, _ := strings.Cut(strings.TrimSuffix(after, "."), "; ")
			if more != "" {
				before += " " + strings.ToUpper(more[:1]) + more[1:] + "."
			}
			return before, stated
		}
	}
	return text, ""
}

func fields(typ reflect.Type, def reflect.Value) func(yield func(reflect.StructField, reflect.Value) bool) {
	return func(yield func(reflect.StructField, reflect.Value) bool) {
		for i := range typ.NumField() {
			if f := typ.Field(i); f.Tag.Get("yaml") != "-" {
				var d reflect.Value
				if def.IsValid() {
					d = def.Field(i)
				}
				if !yield(f, d) {
					return
				}
			}
		}
	}
}

// section returns the struct that a field is a section of, or that its list is made of.
func section(t reflect.Type) (reflect.Type, bool) {
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t, t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]()
}

func markdown(t *testing.T, comments map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(`# Configuration

Every process reads the same YAML file, named by ` + "`-config FILE` or `TALLYGATE_CONFIG`" + `, and uses its part of it.
` + "`-check`" + ` checks the file and exits. All mistakes are told at once, each with file, line and field. Unknown and
repeated fields, empty values, anchors and aliases are mistakes. A field that is left out has its default.

Durations are written as ` + "`50ms`, `2m` or `1h30m`" + `; amounts of money as decimal numbers of dollars; secrets as
references, ` + "`env:NAME` or `file:PATH`" + `, never as themselves. A complete example, with every field, is
[complete.yaml](../schemas/config/testdata/complete.yaml); editors check a file by [config.schema.json](config.schema.json).

This page is made from the comments in ` + "`schemas/config`" + `.

## Environment variables

These go before the file. An empty one counts as not set.

| variable | field |
|---|---|
`)
	for _, o := range overrides {
		fmt.Fprintf(&b, "| `%s` | `%s` |\n", o.variable, o.field)
	}
	b.WriteString("| `" + strings.Replace(BaseURLVariable("x"), "_X_", "_<ID>_", 1) + "` | `base_url` of that provider, for this process only; " +
		"the id in capitals, with `_` for what is neither letter nor digit |\n")
	var write func(typ reflect.Type, def reflect.Value, path string)
	write = func(typ reflect.Type, def reflect.Value, path string) {
		if path != "" {
			fmt.Fprintf(&b, "\n## %s\n\n%s\n", path, comments[typ.Name()])
			b.WriteString("\n| field | type | default | bounds | meaning |\n|---|---|---|---|---|\n")
		}
		for f, d := range fields(typ, def) {
			text, stated := meaning(t, comments, typ, f)
			if path != "" {
				fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", f.Tag.Get("yaml"), typeText(f.Type), defaultText(f, d, stated, text),
					bounds(path+"."+f.Tag.Get("yaml")), cell(text))
			}
		}
		for f, d := range fields(typ, def) {
			if sub, ok := section(f.Type); ok {
				p := strings.TrimPrefix(path+"."+f.Tag.Get("yaml"), ".")
				if f.Type.Kind() == reflect.Slice {
					p, d = p+"[]", reflect.Value{}
				}
				// Budgets and limits are the same at each level: they are told once, at the first.
				if kind := sub.Name(); (kind == "Budget" || kind == "RateLimit") && strings.Contains(path, "teams") {
					continue
				}
				write(sub, d, p)
			}
		}
	}
	write(reflect.TypeFor[Config](), reflect.ValueOf(*Default()), "")
	return b.Bytes()
}

var boundsRE = regexp.MustCompile(`must be from (\S+) to (\S+), got`)

// bounds returns the bounds of a field of a process, or nothing: it asks for a value
// that is out of any bounds and reads the answer. A bound that is another field's
// value is shown at that one's default.
func bounds(path string) string {
	c := Default()
	v := reflect.ValueOf(c).Elem()
	for name := range strings.SplitSeq(path, ".") {
		i := slices.IndexFunc(reflect.VisibleFields(v.Type()), func(f reflect.StructField) bool { return f.Tag.Get("yaml") == name })
		if i < 0 {
			return "" // within a list
		}
		v = v.Field(i)
	}
	if !v.CanInt() {
		return ""
	}
	v.SetInt(-1)
	for _, m := range c.Validate() {
		if g := boundsRE.FindStringSubmatch(m.Problem); g != nil && m.Field == path {
			return g[1] + " to " + g[2]
		}
	}
	return ""
}

// cell escapes a text for a table. That a field is required stands in a column of its own.
func cell(text string) string {
	return strings.NewReplacer("|", "\\|", "<", "&lt;", " Required.", "").Replace(text)
}

func typeText(t reflect.Type) string {
	if sub, ok := section(t); ok {
		if t.Kind() == reflect.Slice {
			return "list"
		}
		return "section (" + sub.Name() + ")"
	}
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.TypeFor[time.Time]():
		return "moment"
	case reflect.TypeFor[USD]():
		return "dollars"
	case reflect.TypeFor[SecretRef]():
		return "secret reference"
	}
	switch t.Kind() {
	case reflect.Slice:
		return "list of text"
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	}
	return "whole number"
}

func defaultText(f reflect.StructField, d reflect.Value, stated, text string) string {
	switch _, isSection := section(f.Type); {
	case strings.Contains(text, "Required."):
		if d.IsValid() && !d.IsZero() {
			return fmt.Sprintf("`%v`", d.Interface())
		}
		return "required"
	case isSection:
		return "–"
	case d.IsValid() && (!d.IsZero() || stated == "false"):
		switch v := d.Interface().(type) {
		case time.Duration:
			s := strings.TrimSuffix(v.String(), "0s")
			if s = strings.TrimSuffix(s, "m0s"); s == "" || !strings.ContainsAny(s[len(s)-1:], "smh") {
				s = v.String()
			}
			return "`" + s + "`"
		case []string:
			return "`[" + strings.Join(v, ", ") + "]`"
		default:
			return fmt.Sprintf("`%v`", v)
		}
	case stated != "":
		return cell(stated)
	}
	return "–"
}

// jsonSchema returns a JSON Schema for editors. It knows names and types; bounds
// and references are checked by -check.
func jsonSchema(t *testing.T, comments map[string]string) []byte {
	t.Helper()
	var of func(typ reflect.Type) map[string]any
	of = func(typ reflect.Type) map[string]any {
		switch typ {
		case reflect.TypeFor[time.Duration]():
			return map[string]any{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$|^0$`}
		case reflect.TypeFor[time.Time]():
			return map[string]any{"type": "string", "format": "date-time"}
		case reflect.TypeFor[USD]():
			return map[string]any{"type": []string{"number", "string"}}
		case reflect.TypeFor[SecretRef]():
			return map[string]any{"type": "string", "pattern": "^(env|file):.+"}
		}
		switch typ.Kind() {
		case reflect.Struct:
			properties := map[string]any{}
			for f := range fields(typ, reflect.Value{}) {
				s := of(f.Type)
				s["description"], _ = meaning(t, comments, typ, f)
				properties[f.Tag.Get("yaml")] = s
			}
			return map[string]any{"type": []string{"object", "null"}, "additionalProperties": false, "properties": properties}
		case reflect.Slice:
			return map[string]any{"type": []string{"array", "null"}, "items": of(typ.Elem())}
		case reflect.String:
			return map[string]any{"type": "string"}
		case reflect.Bool:
			return map[string]any{"type": "boolean"}
		case reflect.Uint64:
			return map[string]any{"type": "integer", "minimum": 0}
		}
		return map[string]any{"type": "integer"}
	}
	schema := of(reflect.TypeFor[Config]())
	schema["$schema"], schema["title"] = "https://json-schema.org/draft/2020-12/schema", "Tallygate configuration"
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(schema); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
