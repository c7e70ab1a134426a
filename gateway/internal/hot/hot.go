// Package hot holds what the hot path does for speed alone. It is the only place
// with unsafe.
package hot

import "unsafe"

// StringOf is b as a string, without a copy. The caller vows that b is not changed
// as long as the string, or anything cut from it, is in use.
func StringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// BytesOf is s as bytes, without a copy. The bytes may only be read.
func BytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
