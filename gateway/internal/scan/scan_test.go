package scan

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestMistakes(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		var r Reader
		r.Reset([]byte(text))
		r.Skip()
		r.End()
		err := r.Err()
		if err == nil {
			t.Fatalf("expected a mistake in %q", text)
		}
		if err.Error() != want {
			t.Fatalf("unexpected mistake in %q; got %q; want %q", text, err, want)
		}
	}
	f("", "unexpected end at byte 0")
	f("  ", "unexpected end at byte 2")
	f("{", "unexpected end at byte 1")
	f(`{"a"}`, "missing colon after a field name at byte 4")
	f(`{"a":1,}`, "unexpected character where a field name should be at byte 7")
	f(`{a:1}`, "unexpected character where a field name should be at byte 1")
	f(`[1,]`, "unexpected character at byte 3")
	f(`[1 2]`, "missing comma or end of an object or array at byte 3")
	f(`[1}`, "missing comma or end of an object or array at byte 2")
	f(`{} x`, "unexpected character after the end of the JSON value at byte 3")
	f(`"abc`, "unterminated string at byte 4")
	f("\"a\nb\"", "control character in a string at byte 2")
	f(`"\x"`, "invalid escape in a string at byte 1")
	f(`"\u12g4"`, "invalid escape in a string at byte 1")
	f("\"\xff\"", "string is not valid UTF-8 at byte 1")
	f("01", "unexpected character after the end of the JSON value at byte 1")
	f("-", "invalid number at byte 1")
	f("1.", "invalid number at byte 2")
	f("1e", "invalid number at byte 2")
	f("nul", "invalid literal at byte 0")
	f(strings.Repeat("[", DepthMax+1), "nesting is too deep at byte 512")
}

func TestDeepestNesting(t *testing.T) {
	var r Reader
	r.Reset([]byte(strings.Repeat("[", DepthMax) + strings.Repeat("]", DepthMax)))
	r.Skip()
	r.End()
	if err := r.Err(); err != nil {
		t.Fatalf("unexpected mistake at the deepest nesting: %s", err)
	}
}

func TestUint(t *testing.T) {
	f := func(text string, want uint64, wantOK bool) {
		t.Helper()
		var r Reader
		r.Reset([]byte(text))
		v, ok := r.Uint()
		r.End()
		if v != want || ok != wantOK || r.Err() != nil {
			t.Fatalf("unexpected number of %s; got %d, %v, %v; want %d, %v", text, v, ok, r.Err(), want, wantOK)
		}
	}
	f("0", 0, true)
	f("9999999999999999999", 9999999999999999999, true)
	f("99999999999999999999", 0, false)
	f("-1", 0, false)
	f("1.0", 0, false)
	f("1e2", 0, false)
	f(`"1"`, 0, false)
	f("null", 0, false)
}

func TestLaxLetsForeignBytesPass(t *testing.T) {
	var r Reader
	r.ResetLax([]byte("\"a\xffb\""))
	if got := r.TextLen(); got != 3 || r.Failed() {
		t.Fatalf("unexpected length; got %d, failed %v; want 3", got, r.Failed())
	}
}

// FuzzSkip compares with encoding/json, which differs from the RFC in two ways only:
// it takes strings that are no UTF-8, and nests deeper.
func FuzzSkip(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.5e+3,"x\n\u00e9",true,false,null,{}]}`, "\"\xff\"", `[[[`, `"\ud83d\ude00\ud800"`,
		`{"abcdefgh\"ijklmnopqrstuvwxyz":"` + strings.Repeat("é", 9) + `"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var r Reader
		r.Reset(text)
		r.Skip()
		r.End()
		valid := json.Valid(text)
		deep := bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) > DepthMax
		if got := !r.Failed(); got != valid && (got || utf8.Valid(text) && !deep) {
			t.Fatalf("unexpected verdict on %q; got %v; want %v: %v", text, got, valid, r.Err())
		}
	})
}

// FuzzText compares strings with encoding/json.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "plain and longer than eight", `\u00e9\n\"\\\/`, `\ud83d\ude00`, `\ud83d\ud83d\ude00`, "é漢\U0001F600"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, inner string) {
		text := []byte(`"` + inner + `"`)
		var want string
		if !utf8.Valid(text) || json.Unmarshal(text, &want) != nil {
			t.Skip()
		}
		var r Reader
		r.Reset(text)
		got := r.Text()
		r.End()
		if string(got) != want || r.Err() != nil {
			t.Fatalf("unexpected text of %q; got %q, %v; want %q", text, got, r.Err(), want)
		}
		r.Reset(text)
		if n := r.TextLen(); n != len(want) {
			t.Fatalf("unexpected length of %q; got %d; want %d", text, n, len(want))
		}
	})
}

func FuzzAppendQuoted(f *testing.F) {
	f.Add("plain")
	f.Add("\x00\"\\\n\r\t\x7f\u2028\u2029\xff")
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		quoted := AppendQuoted(nil, s)
		if err := json.Unmarshal(quoted, &got); err != nil {
			t.Fatalf("cannot read %q back: %s", quoted, err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); utf8.ValidString(s) && got != want {
			t.Fatalf("unexpected text; got %q; want %q", got, want)
		}
	})
}
