package config

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Mistake is one thing that is wrong in a configuration.
type Mistake struct {
	// File and Line say where; Line is zero if the value is not in the file.
	File string
	Line int
	// Field is the path of the value, for example "spool.quota_bytes" or "policy.orgs[0].id".
	Field string
	// Problem says what is wrong with it and what would be right.
	Problem string
}

// String returns "file:line: field: problem", without the parts that are empty.
func (m Mistake) String() string {
	var b strings.Builder
	if m.File != "" {
		b.WriteString(m.File)
		if m.Line > 0 {
			b.WriteString(":" + strconv.Itoa(m.Line))
		}
		b.WriteString(": ")
	}
	if m.Field != "" {
		b.WriteString(m.Field + ": ")
	}
	b.WriteString(m.Problem)
	return b.String()
}

// Mistakes is an error that lists all that is wrong, a line each.
type Mistakes []Mistake

// maxMistakes bounds how many are told: who has more has given the wrong file.
const maxMistakes = 100

// Error returns the mistakes, a line each, at most maxMistakes of them.
func (m Mistakes) Error() string {
	var lines []string
	for i := range m {
		if i == maxMistakes {
			lines = append(lines, fmt.Sprintf("and %d more", len(m)-i))
			break
		}
		lines = append(lines, m[i].String())
	}
	return strings.Join(lines, "\n")
}

// where is a place in the tree to which mistakes are reported.
type where struct {
	path     string
	mistakes *Mistakes
}

func (w where) field(name string) where {
	if w.path != "" {
		name = w.path + "." + name
	}
	return where{name, w.mistakes}
}

func (w where) index(i int) where {
	return where{w.path + "[" + strconv.Itoa(i) + "]", w.mistakes}
}

func (w where) wrong(format string, args ...any) {
	*w.mistakes = append(*w.mistakes, Mistake{Field: w.path, Problem: fmt.Sprintf(format, args...)})
}

// between reports a value that is out of bounds, both included.
func between[T int | int64 | uint64 | time.Duration](w where, v, low, high T) {
	if v < low || v > high {
		w.wrong("must be from %v to %v, got %v", low, high, v)
	}
}

func (w where) address(addr string) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		w.wrong("must be host:port, got %q", addr)
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		w.wrong("must end in a port from 0 to 65535, got %q", addr)
	}
	if strings.ContainsAny(host, " /") {
		w.wrong("must begin with a host name or an IP address, got %q", addr)
	}
}

// httpURL reports what is no absolute http or https URL. It shows no user
// information, which may hold a password.
func (w where) httpURL(text string) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		w.wrong("must be a URL such as https://host/path")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		w.wrong("must be a URL with the scheme http or https and a host, got %q", u.Redacted())
	case u.RawQuery != "" && strings.Contains(strings.ToLower(u.RawQuery), "key="):
		w.wrong("must not hold a secret in its query; use the field for credentials")
	}
}

func (w where) oneOf(value string, allowed ...string) {
	for _, a := range allowed {
		if value == a {
			return
		}
	}
	w.wrong("must be one of %s, got %q", strings.Join(allowed, ", "), value)
}
