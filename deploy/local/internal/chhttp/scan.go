package chhttp

import "bytes"

// token is a lexeme of ClickHouse's SQL; white space and comments are left out.
type token struct {
	kind       tokenKind
	start, end int
}

type tokenKind uint8

const (
	tokenWord tokenKind = iota
	tokenQuoted
	tokenString
	tokenOther
)

// scanner cuts SQL into tokens. It knows just enough of the language to tell
// where strings, quoted names and comments end.
type scanner struct {
	sql []byte
	pos int
}

// next returns the next token, or false at the end of the text.
func (s *scanner) next() (token, bool) {
	s.skipSpace()
	start := s.pos
	if start >= len(s.sql) {
		return token{}, false
	}
	kind := tokenOther
	switch c := s.sql[start]; {
	case c == '\'':
		kind, s.pos = tokenString, s.quotedEnd(c)
	case c == '"' || c == '`':
		kind, s.pos = tokenQuoted, s.quotedEnd(c)
	case c == '$' && s.heredocEnd() > 0:
		kind, s.pos = tokenString, s.heredocEnd()
	case isWordByte(c):
		kind = tokenWord
		for s.pos < len(s.sql) && isWordByte(s.sql[s.pos]) {
			s.pos++
		}
	default:
		s.pos++
	}
	return token{kind, start, s.pos}, true
}

func (s *scanner) text(t token) []byte { return s.sql[t.start:t.end] }

func (s *scanner) is(t token, keyword string) bool {
	return t.kind == tokenWord && bytes.EqualFold(s.text(t), []byte(keyword))
}

func (s *scanner) skipSpace() {
	for s.pos < len(s.sql) {
		rest := s.sql[s.pos:]
		switch {
		case rest[0] == ' ' || rest[0] >= '\t' && rest[0] <= '\r':
			s.pos++
		case bytes.HasPrefix(rest, []byte("--")), bytes.HasPrefix(rest, []byte("#!")), bytes.HasPrefix(rest, []byte("# ")):
			s.pos += endOf(rest, "\n")
		case bytes.HasPrefix(rest, []byte("/*")):
			s.pos += 2 + endOf(rest[2:], "*/")
		default:
			return
		}
	}
}

// quotedEnd returns the end of what begins with a quote: a backslash escapes, and
// a doubled quote stands for itself.
func (s *scanner) quotedEnd(quote byte) int {
	for i := s.pos + 1; i < len(s.sql); i++ {
		switch s.sql[i] {
		case '\\':
			i++
		case quote:
			if i+1 >= len(s.sql) || s.sql[i+1] != quote {
				return i + 1
			}
			i++
		}
	}
	return len(s.sql)
}

// heredocEnd returns the end of $tag$text$tag$, or 0 if there is none here.
func (s *scanner) heredocEnd() int {
	rest := s.sql[s.pos:]
	n := 1
	for n < len(rest) && isWordByte(rest[n]) {
		n++
	}
	if n >= len(rest) || rest[n] != '$' {
		return 0
	}
	tag := rest[:n+1]
	i := bytes.Index(rest[n+1:], tag)
	if i < 0 {
		return 0
	}
	return s.pos + n + 1 + i + len(tag)
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// endOf returns the position behind the first mark, or the length of the text.
func endOf(text []byte, mark string) int {
	if i := bytes.Index(text, []byte(mark)); i >= 0 {
		return i + len(mark)
	}
	return len(text)
}
