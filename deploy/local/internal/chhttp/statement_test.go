package chhttp

import (
	"strings"
	"testing"
)

func TestParseStatement(t *testing.T) {
	f := func(text, sql, format, data string, insert bool) {
		t.Helper()
		s, err := parseStatement([]byte(text))
		if err != nil {
			t.Fatalf("unexpected error of %q: %v", text, err)
		}
		got := ""
		if s.insert {
			got = text[s.dataStart:]
		}
		if s.sql != sql || s.format != format || s.insert != insert || got != data {
			t.Fatalf("unexpected parts of %q; got %+v, data %q; want sql %q, format %q, data %q, insert %v", text, *s, got, sql, format, data, insert)
		}
	}
	query := func(text, format string) { t.Helper(); f(text, text, format, "", false) }
	query("SELECT 1", "")
	query("select 1 format json", "json")
	query("SELECT 1 FORMAT JSONEachRow SETTINGS max_threads = 1", "JSONEachRow")
	query("SELECT format('{}', 1), 'FORMAT CSV' -- FORMAT TSV", "")
	query("SELECT * FROM (SELECT 1 FORMAT) x", "")
	query("SELECT $tag$ ; FORMAT x $tag$, \"a;b\", `c;\\`d`", "")
	query("SELECT 'it''s;' /* ; */ # a comment;\n", "")
	f("SELECT 1; -- the end\n ", "SELECT 1", "", "", false)

	f("INSERT INTO t VALUES (1), (2);", "INSERT INTO t ", "Values", " (1), (2);", true)
	f("insert into t values(1)", "insert into t ", "Values", "(1)", true)
	f("INSERT INTO t (a, format, values) SETTINGS x = 1 FORMAT Native\n\x00\n;", "INSERT INTO t (a, format, values) SETTINGS x = 1 ", "Native", "\x00\n;", true)
	f("INSERT INTO `values`.`format` FORMAT TSV 1\t2\n", "INSERT INTO `values`.`format` ", "TSV", "1\t2\n", true)
	f("INSERT INTO values FORMAT TSV\r\n\n1", "INSERT INTO values ", "TSV", "\n1", true)
	f("INSERT INTO TABLE db.t FORMAT CSV", "INSERT INTO TABLE db.t ", "CSV", "", true)
	f("INSERT INTO FUNCTION null('a UInt8') VALUES (1)", "INSERT INTO FUNCTION null('a UInt8') ", "Values", " (1)", true)
	f("INSERT INTO t VALUES ('un", "INSERT INTO t ", "Values", " ('un", true)
	query("INSERT INTO t SELECT 1", "")
	query("INSERT INTO t (a) WITH 1 AS x SELECT x FORMAT Null", "Null")
	query("INSERT INTO t (a", "")
	query("INSERT", "")
	query("INSERT INTO", "")
}

func TestParseStatementRefuses(t *testing.T) {
	f := func(text, part string) {
		t.Helper()
		if s, err := parseStatement([]byte(text)); err == nil || !strings.Contains(err.Error(), part) {
			t.Fatalf("unexpected result of %q; got %+v, %v; want an error with %q", text, s, err, part)
		}
	}
	f("", "empty query")
	f(" -- nothing\n/* at all */", "empty query")
	f("SELECT 1; SELECT 2", "Multi-statements are not allowed")
	f("SELECT ';'; DROP TABLE t", "Multi-statements are not allowed")
	f("SELECT 1 INTO /**/ OUTFILE '/tmp/x'", "INTO OUTFILE")
	f("INSERT INTO t FROM\nINFILE '/etc/passwd' FORMAT CSV", "FROM INFILE")
}

func FuzzParseStatement(f *testing.F) {
	for _, seed := range []string{"SELECT 1", "INSERT INTO t VALUES (1)", "INSERT INTO a.b (c) FORMAT X\n", "$a$ $a$", "'", "`\\", "/*", "a.", "INSERT INTO ."} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseStatement(text)
		if err != nil {
			return
		}
		if s.dataStart < 0 || s.dataStart > len(text) || !strings.HasPrefix(string(text), s.sql) {
			t.Fatalf("unexpected parts of %q: %+v", text, *s)
		}
	})
}
