package scan

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// Text takes the next value, a string, and returns it with its escapes resolved: a
// part of the text if there are none, else a copy. Any other value is taken too, and
// gives nil.
func (r *Reader) Text() []byte {
	if r.Kind() != String {
		r.Skip()
		return nil
	}
	raw, escaped := r.quoted()
	if !escaped {
		return raw
	}
	return unescape(make([]byte, 0, len(raw)), raw)
}

// TextLen takes the next value and returns the length of the string that it is, in
// bytes, escapes resolved; 0 for any other value.
func (r *Reader) TextLen() int {
	if r.Kind() != String {
		r.Skip()
		return 0
	}
	raw, escaped := r.quoted()
	if !escaped {
		return len(raw)
	}
	n := 0
	for len(raw) > 0 {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return n + len(raw)
		}
		c, size := escape(raw[i:])
		n += i + utf8.RuneLen(c)
		raw = raw[i+size:]
	}
	return n
}

// quoted takes a string and returns what is between its quotes. All escapes in it
// are well formed.
func (r *Reader) quoted() (raw []byte, escaped bool) {
	r.pos++
	start, ascii := r.pos, true
	for {
		r.plain()
		if r.pos >= len(r.data) {
			r.fail("unterminated string")
			return nil, false
		}
		switch c := r.data[r.pos]; {
		case c == '"':
			raw = r.data[start:r.pos]
			if !ascii && !r.lax && !utf8.Valid(raw) {
				r.pos = start
				r.fail("string is not valid UTF-8")
				return nil, false
			}
			r.pos++
			return raw, escaped
		case c == '\\':
			n := escapeLen(r.data[r.pos:])
			if n == 0 {
				r.fail("invalid escape in a string")
				return nil, false
			}
			escaped = true
			r.pos += n
		case c < ' ':
			r.fail("control character in a string")
			return nil, false
		default:
			ascii = false
			for r.pos < len(r.data) && r.data[r.pos] >= 0x80 {
				r.pos++
			}
		}
	}
}

// plain goes over bytes that mean themselves: ASCII but quotes, backslashes and
// control characters. It looks at eight bytes at a time: a byte's high bit is set in
// found if the byte is one of those, see "Bit Twiddling Hacks", hasless and haszero.
// Borrows can mark bytes above a marked one, but never hide one, so the loop after it
// finds the exact place.
func (r *Reader) plain() {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for r.pos+8 <= len(r.data) {
		w := binary.LittleEndian.Uint64(r.data[r.pos:])
		quote, slash := w^(ones*'"'), w^(ones*'\\')
		found := (w | (w - ones*' ') | (quote - ones) | (slash - ones)) & highs
		if found != 0 {
			break
		}
		r.pos += 8
	}
	for r.pos < len(r.data) {
		if c := r.data[r.pos]; c == '"' || c == '\\' || c < ' ' || c >= 0x80 {
			return
		}
		r.pos++
	}
}

// escapeLen is the length of the escape that b begins with, 0 if it is none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) >= 6 && hex4(b[2:6]) >= 0 {
			return 6
		}
	}
	return 0
}

// escape is the character that the well-formed escape at the start of b stands for,
// and its size in b. Half a surrogate pair is the replacement character.
func escape(b []byte) (c rune, size int) {
	switch b[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		c = hex4(b[2:6])
		if !utf16.IsSurrogate(c) {
			return c, 6
		}
		if len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
			if pair := utf16.DecodeRune(c, hex4(b[8:12])); pair != utf8.RuneError {
				return pair, 12
			}
		}
		return utf8.RuneError, 6
	}
	return rune(b[1]), 2
}

func hex4(b []byte) (c rune) {
	for _, d := range b {
		switch {
		case d >= '0' && d <= '9':
			c = c<<4 | rune(d-'0')
		case d|0x20 >= 'a' && d|0x20 <= 'f':
			c = c<<4 | rune(d|0x20-'a'+10)
		default:
			return -1
		}
	}
	return c
}

func unescape(dst, raw []byte) []byte {
	for len(raw) > 0 {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		c, size := escape(raw[i:])
		dst = utf8.AppendRune(dst, c)
		raw = raw[i+size:]
	}
	return dst
}
