// Package scan walks once over a JSON text, strictly by RFC 8259, without building
// anything and without allocations. The caller pulls: it looks at the kind of the
// next value, and then enters, reads or skips it.
//
//	r.Reset(body)
//	for ok := r.Enter('{'); ok && r.Field(); {
//		switch string(r.Key()) {
//		case "model":
//			model = r.Text()
//		default:
//			r.Skip()
//		}
//	}
//	r.End()
//	if err := r.Err(); err != nil { … }
//
// After a mistake in the text every method answers with nothing, so that loops end
// and one look at Err at the end is enough. Every value must be taken by exactly one
// of Enter, Text, TextLen, Uint, Bool and Skip.
package scan

import (
	"bytes"
	"fmt"
)

// DepthMax is how deep objects and arrays may nest. RFC 8259, section 9, allows a bound.
const DepthMax = 512

// Kind is the sort of a value: its first character, with '0' for all numbers.
type Kind byte

// Kinds of values.
const (
	None   Kind = 0 // the text has ended or has a mistake
	Object Kind = '{'
	Array  Kind = '['
	String Kind = '"'
	Number Kind = '0'
	True   Kind = 't'
	False  Kind = 'f'
	Null   Kind = 'n'
)

// String names the kind with its article, for messages to clients.
func (k Kind) String() string {
	switch k {
	case Object:
		return "an object"
	case Array:
		return "an array"
	case String:
		return "a string"
	case Number:
		return "a number"
	case True, False:
		return "a boolean"
	case Null:
		return "null"
	}
	return "nothing"
}

// Mistake is why a text is no JSON, and where.
type Mistake struct {
	// Offset is the place in bytes, from 0.
	Offset int
	// What is the reason, without the place.
	What string
}

// Error names the reason and the place.
func (m *Mistake) Error() string { return fmt.Sprintf("%s at byte %d", m.What, m.Offset) }

// Reader walks over one text. The zero Reader is over an empty one.
type Reader struct {
	data  []byte
	pos   int
	depth int
	// fresh says that a container was entered and nothing of it read yet.
	fresh bool
	lax   bool
	key   []byte
	what  string
	at    int
}

// Reset begins data, which must be UTF-8 throughout.
func (r *Reader) Reset(data []byte) { *r = Reader{data: data} }

// ResetLax begins data, in whose strings bytes that are no UTF-8 are let pass.
func (r *Reader) ResetLax(data []byte) { *r = Reader{data: data, lax: true} }

// Err is the first mistake found so far, a *Mistake, or nil.
func (r *Reader) Err() error {
	if r.what == "" {
		return nil
	}
	return &Mistake{Offset: r.at, What: r.what}
}

// Failed says if there is a mistake, without making an error of it.
func (r *Reader) Failed() bool { return r.what != "" }

// Pos is the place of the next byte to be read. After Kind it is the start of the value.
func (r *Reader) Pos() int { return r.pos }

// Kind looks at the next value without taking it.
func (r *Reader) Kind() Kind {
	r.blanks()
	if r.pos >= len(r.data) {
		r.fail("unexpected end")
		return None
	}
	switch c := r.data[r.pos]; c {
	case '{', '[', '"', 't', 'f', 'n':
		return Kind(c)
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return Number
	}
	r.fail("unexpected character")
	return None
}

// Enter goes into the next value, which must be of kind k, Object or Array; else
// nothing is taken and the answer is false. Field or Element must then be called
// until they say false.
func (r *Reader) Enter(k Kind) bool {
	if r.Kind() != k {
		return false
	}
	if r.depth++; r.depth > DepthMax {
		r.fail("nesting is too deep")
		return false
	}
	r.pos++
	r.fresh = true
	return true
}

// Field goes to the value of the next field of an object; false at its end.
func (r *Reader) Field() bool {
	if !r.next('}') {
		return false
	}
	if r.pos >= len(r.data) {
		r.fail("unexpected end")
		return false
	}
	if r.data[r.pos] != '"' {
		r.fail("unexpected character where a field name should be")
		return false
	}
	r.key = r.Text()
	r.blanks()
	if r.pos >= len(r.data) || r.data[r.pos] != ':' {
		r.fail("missing colon after a field name")
		return false
	}
	r.pos++
	return r.what == ""
}

// Key is the name of the current field, its escapes resolved. It is valid until the
// next field of any object.
func (r *Reader) Key() []byte { return r.key }

// Element goes to the next element of an array; false at its end.
func (r *Reader) Element() bool { return r.next(']') }

// End takes the rest of the text, which must be blank.
func (r *Reader) End() {
	r.blanks()
	if r.pos < len(r.data) {
		r.fail("unexpected character after the end of the JSON value")
	}
}

// next goes over the comma before a member of a container, or over its end.
func (r *Reader) next(end byte) bool {
	r.blanks()
	if r.pos >= len(r.data) {
		r.fail("unexpected end")
		return false
	}
	c, fresh := r.data[r.pos], r.fresh
	r.fresh = false
	switch {
	case c == end:
		r.pos++
		r.depth--
		return false
	case fresh:
		return true
	case c == ',':
		r.pos++
		r.blanks()
		return true
	}
	r.fail("missing comma or end of an object or array")
	return false
}

// Skip takes the next value, whatever it is, and says where it was.
func (r *Reader) Skip() (start, end int) {
	kind := r.Kind()
	start = r.pos
	switch kind {
	case Object:
		key := r.key
		for ok := r.Enter(Object); ok && r.Field(); {
			r.Skip()
		}
		r.key = key
	case Array:
		for ok := r.Enter(Array); ok && r.Element(); {
			r.Skip()
		}
	case String:
		r.quoted()
	case Number:
		r.number()
	case True:
		r.word("true")
	case False:
		r.word("false")
	case Null:
		r.word("null")
	}
	return start, r.pos
}

// Bool takes the next value and says if it is true.
func (r *Reader) Bool() bool {
	kind := r.Kind()
	r.Skip()
	return kind == True && r.what == ""
}

// Uint takes the next value. ok is false if it is anything but a whole number
// without sign, fraction or exponent that fits.
func (r *Reader) Uint() (v uint64, ok bool) {
	kind := r.Kind()
	start, end := r.Skip()
	if kind != Number || r.what != "" || end-start > 19 {
		return 0, false
	}
	for _, c := range r.data[start:end] {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	return v, true
}

func (r *Reader) word(w string) {
	if !bytes.HasPrefix(r.data[r.pos:], []byte(w)) {
		r.fail("invalid literal")
		return
	}
	r.pos += len(w)
}

func (r *Reader) number() {
	if r.data[r.pos] == '-' {
		r.pos++
	}
	if r.pos < len(r.data) && r.data[r.pos] == '0' {
		r.pos++
	} else {
		r.digits()
	}
	if r.pos < len(r.data) && r.data[r.pos] == '.' {
		r.pos++
		r.digits()
	}
	if r.pos < len(r.data) && r.data[r.pos]|0x20 == 'e' {
		r.pos++
		if r.pos < len(r.data) && (r.data[r.pos] == '+' || r.data[r.pos] == '-') {
			r.pos++
		}
		r.digits()
	}
}

func (r *Reader) digits() {
	start := r.pos
	for r.pos < len(r.data) && r.data[r.pos]-'0' <= 9 {
		r.pos++
	}
	if r.pos == start {
		r.fail("invalid number")
	}
}

func (r *Reader) blanks() {
	for r.pos < len(r.data) {
		switch r.data[r.pos] {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return
		}
	}
}

// fail notes the first mistake and ends the text.
func (r *Reader) fail(what string) {
	if r.what == "" {
		r.what, r.at = what, r.pos
	}
	r.pos = len(r.data)
}
