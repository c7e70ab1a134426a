package apierror

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestCatalogue(t *testing.T) {
	code := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	types := map[string]bool{typeInvalid: true, typeServer: true, typeRate: true, typeQuota: true}
	seen := map[string]bool{}
	for _, e := range All() {
		if seen[e.Code] {
			t.Fatalf("unexpected second error with code %s", e.Code)
		}
		seen[e.Code] = true
		if !code.MatchString(e.Code) || !types[e.Type] {
			t.Fatalf("unexpected code %q or type %q", e.Code, e.Type)
		}
		if e.Status < 400 || e.Status > 504 {
			t.Fatalf("unexpected status of %s; got %d", e.Code, e.Status)
		}
		if server := e.Status >= 500; server != (e.Type == typeServer) && e != NotImplemented {
			t.Fatalf("unexpected type of %s; got %s with status %d", e.Code, e.Type, e.Status)
		}
		if limited := e.Status == 429; limited != (e.Type == typeRate || e.Type == typeQuota) {
			t.Fatalf("unexpected type of %s; got %s with status %d", e.Code, e.Type, e.Status)
		}
		for _, text := range []string{e.Message, e.Do} {
			if text == "" || strings.ContainsAny(text, "\n\"") || strings.TrimSpace(text) != text {
				t.Fatalf("unexpected text of %s: %q", e.Code, text)
			}
		}
		if !strings.HasSuffix(e.Message, ".") {
			t.Fatalf("unexpected end of the message of %s: %q", e.Code, e.Message)
		}
		// A provider's 401 would make clients believe that their own key is bad.
		if strings.HasPrefix(e.Code, "upstream_auth") && e.Status < 500 {
			t.Fatalf("unexpected status of %s; got %d", e.Code, e.Status)
		}
	}
}

func TestAllIsOrdered(t *testing.T) {
	if !slices.IsSortedFunc(All(), func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Status, b.Status), cmp.Compare(a.Code, b.Code))
	}) {
		for _, e := range All() {
			t.Logf("%d %s", e.Status, e.Code)
		}
		t.Fatal("unexpected order; want by status, then code")
	}
}

// TestAllIsComplete counts the variables of the catalogue in its source.
func TestAllIsComplete(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "apierror.go", nil, 0)
	if err != nil {
		t.Fatalf("cannot parse: %s", err)
	}
	declared := 0
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == 1 {
			if u, ok := v.Values[0].(*ast.UnaryExpr); ok && u.Op == token.AND {
				declared++
			}
		}
		return true
	})
	if got := len(All()); got != declared || got == 0 {
		t.Fatalf("unexpected number of errors in All; got %d; want %d", got, declared)
	}
}

func TestDocumentIsCurrent(t *testing.T) {
	got, err := os.ReadFile("../../../docs/errors.md")
	if err != nil {
		t.Fatalf("cannot read the page of errors: %s; run go generate ./internal/apierror", err)
	}
	if string(got) != Document() {
		t.Fatal("docs/errors.md differs from the catalogue; run go generate ./internal/apierror")
	}
}
