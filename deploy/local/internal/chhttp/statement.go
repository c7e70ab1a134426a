package chhttp

import (
	"github.com/tallygate/tallygate/deploy/local/internal/chdb"
)

// statement is a statement taken apart as far as the HTTP interface needs: which
// format its result has, and for an INSERT where the statement ends and its data
// begins.
type statement struct {
	// sql is the statement without its data.
	sql string
	// format is the output format that the statement names, or the format of an INSERT's data.
	format string
	// insert is set for an INSERT that takes data; dataStart is then where the
	// data begins in the text.
	insert    bool
	dataStart int
}

// parseStatement takes a statement apart. The text may be cut within an INSERT's
// data. It refuses what only a command line client may do, which the library is:
// files of the client and several statements at once.
func parseStatement(text []byte) (*statement, error) {
	p := statementParser{scanner: scanner{sql: text}}
	first, ok := p.advance()
	if !ok {
		return nil, chdb.NewException(62, "SYNTAX_ERROR", "Syntax error: empty query")
	}
	if p.is(first, "INSERT") {
		return p.insert()
	}
	return p.rest(&statement{})
}

type statementParser struct {
	scanner
	// depth counts open parentheses, brackets and braces.
	depth int
}

func (p *statementParser) advance() (token, bool) {
	t, ok := p.next()
	if ok && t.kind == tokenOther {
		switch p.sql[t.start] {
		case '(', '[', '{':
			p.depth++
		case ')', ']', '}':
			p.depth--
		}
	}
	return t, ok
}

// insert reads on after INSERT: up to the data, or as any other statement if the
// rows come from a query.
func (p *statementParser) insert() (*statement, error) {
	if !p.target() {
		return p.rest(&statement{})
	}
	for {
		t, ok := p.advance()
		if !ok {
			return &statement{sql: string(p.sql)}, nil
		}
		if p.depth != 0 {
			continue
		}
		switch {
		case p.is(t, "VALUES"):
			return &statement{sql: string(p.sql[:t.start]), format: "Values", insert: true, dataStart: t.end}, nil
		case p.is(t, "FORMAT"):
			name, ok := p.advance()
			if !ok {
				return &statement{sql: string(p.sql)}, nil
			}
			return &statement{sql: string(p.sql[:t.start]), format: string(p.text(name)), insert: true, dataStart: p.dataAfterFormat(name.end)}, nil
		case p.is(t, "SELECT"), p.is(t, "WITH"), p.is(t, "FROM"):
			p.pos = t.start
			return p.rest(&statement{})
		}
	}
}

// target skips INTO [TABLE] [FUNCTION] name, so that no name is taken for a
// keyword. It returns false at the end of the text.
func (p *statementParser) target() bool {
	t, ok := p.advance()
	for _, keyword := range []string{"INTO", "TABLE", "FUNCTION"} {
		if ok && p.is(t, keyword) {
			t, ok = p.advance()
		}
	}
	for ok {
		end := p.pos
		dot, more := p.next()
		if !more || len(p.text(dot)) != 1 || p.text(dot)[0] != '.' {
			p.pos = end
			return true
		}
		t, ok = p.advance()
	}
	return ok && t.end > 0
}

// dataAfterFormat returns where the data begins: after the first line end, if only
// blanks stand before it, else after the blanks.
func (p *statementParser) dataAfterFormat(pos int) int {
	for pos < len(p.sql) && (p.sql[pos] == ' ' || p.sql[pos] == '\t' || p.sql[pos] == '\f') {
		pos++
	}
	if pos < len(p.sql) && p.sql[pos] == ';' {
		pos++
	}
	if pos < len(p.sql) && p.sql[pos] == '\r' {
		pos++
	}
	if pos < len(p.sql) && p.sql[pos] == '\n' {
		pos++
	}
	return pos
}

// rest reads to the end of a statement without data, noting its FORMAT.
func (p *statementParser) rest(s *statement) (*statement, error) {
	var previous token
	end := len(p.sql)
	for {
		t, ok := p.advance()
		if !ok {
			break
		}
		switch {
		case t.kind == tokenOther && p.sql[t.start] == ';' && p.depth == 0:
			if _, more := p.next(); more {
				return nil, chdb.NewException(62, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed): failed at position %d (end of query)", t.start+1)
			}
			end = t.start
		case p.is(t, "OUTFILE") && p.is(previous, "INTO"), p.is(t, "INFILE") && p.is(previous, "FROM"):
			return nil, chdb.NewException(48, "NOT_IMPLEMENTED", "Files of the client are out of reach over HTTP: %s %s is not possible here", p.text(previous), p.text(t))
		case p.is(previous, "FORMAT") && p.depth == 0 && (t.kind == tokenWord || t.kind == tokenQuoted):
			s.format = string(p.text(t))
		}
		previous = t
	}
	s.sql = string(p.sql[:end])
	return s, nil
}
