package chdb

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Exception is an error of ClickHouse.
type Exception struct {
	// Code is ClickHouse's error code.
	Code int
	// Text is the whole text as a server writes it, from "Code: " on.
	Text string
}

// Error returns the text.
func (e *Exception) Error() string { return e.Text }

var codeRE = regexp.MustCompile(`^(?:Error: )?Code: (\d+)\. `)

// unknownException is ClickHouse's code for errors without one.
const unknownException = 1002

// ParseException reads the code from the library's error text.
func ParseException(text string) *Exception {
	text = strings.TrimSpace(text)
	g := codeRE.FindStringSubmatch(text)
	if g == nil {
		return NewException(unknownException, "UNKNOWN_EXCEPTION", "%s", text)
	}
	code, err := strconv.Atoi(g[1])
	if err != nil {
		code = unknownException
	}
	return &Exception{code, strings.TrimPrefix(text, "Error: ")}
}

// NewException makes an error in ClickHouse's form.
func NewException(code int, name, format string, args ...any) *Exception {
	return &Exception{code, fmt.Sprintf("Code: %d. DB::Exception: %s. (%s)", code, strings.TrimSuffix(fmt.Sprintf(format, args...), "."), name)}
}
