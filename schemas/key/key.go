// Package key makes, checks and digests virtual keys.
package key

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"hash"
	"hash/crc32"
	"strings"
	"sync"
)

// Prefix starts every virtual key, so that people and secret scanners know one
// when they see it.
const Prefix = "tg_live_"

const (
	secretLen   = 43 // base62: 256 bits
	checksumLen = 6  // base62: CRC-32
	// Len is the length of a virtual key in bytes.
	Len = len(Prefix) + secretLen + checksumLen
)

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// ErrMalformed says that a text is no virtual key at all: its prefix, length or
// checksum is wrong. It never holds the text.
var ErrMalformed = errors.New("not a Tallygate key: wrong prefix, length or checksum")

// New returns a fresh virtual key of 256 random bits.
func New() string {
	b := make([]byte, 0, Len)
	b = append(b, Prefix...)
	var rnd [64]byte
	for len(b) < len(Prefix)+secretLen {
		if _, err := rand.Read(rnd[:]); err != nil {
			panic("BUG: crypto/rand does not fail: " + err.Error())
		}
		for _, r := range rnd {
			// 248 is the largest multiple of 62 in a byte: what is above would favour some characters.
			if r < 248 && len(b) < len(Prefix)+secretLen {
				b = append(b, alphabet[r%62])
			}
		}
	}
	return string(appendChecksum(b, b))
}

// Check tells a virtual key from a typo or a scanner's guess, at no cost to
// anything else. It says nothing of whether the key exists.
func Check(key []byte) error {
	if len(key) != Len || string(key[:len(Prefix)]) != Prefix {
		return ErrMalformed
	}
	var buf [checksumLen]byte
	if string(appendChecksum(buf[:0], key[:Len-checksumLen])) != string(key[Len-checksumLen:]) {
		return ErrMalformed
	}
	return nil
}

// Redacted returns what may be shown of a text that may be a key: its first
// characters, if it is long enough to hide the rest.
func Redacted(key string) string {
	if len(key) < Len || !strings.HasPrefix(key, Prefix) {
		return "…"
	}
	return key[:len(Prefix)+4] + "…"
}

func appendChecksum(dst, text []byte) []byte {
	sum := crc32.ChecksumIEEE(text)
	var out [checksumLen]byte
	for i := checksumLen - 1; i >= 0; i-- {
		out[i] = alphabet[sum%62]
		sum /= 62
	}
	return append(dst, out[:]...)
}

// Digest is what is kept of a key: HMAC-SHA256 under the installation's pepper.
type Digest [sha256.Size]byte

// Digester computes digests. It is safe for concurrent use and does not allocate.
type Digester struct {
	pool sync.Pool
}

// MinPepperLen is the least length of a pepper in bytes.
const MinPepperLen = 32

// NewDigester returns a digester for a pepper of at least MinPepperLen bytes.
func NewDigester(pepper []byte) (*Digester, error) {
	if len(pepper) < MinPepperLen {
		return nil, errors.New("the pepper is too short: it must have at least 32 bytes")
	}
	secret := append([]byte(nil), pepper...)
	return &Digester{pool: sync.Pool{New: func() any { return &mac{Hash: hmac.New(sha256.New, secret)} }}}, nil
}

type mac struct {
	hash.Hash
	sum []byte
}

// Digest returns the digest of a key.
func (d *Digester) Digest(key []byte) Digest {
	m := d.pool.Get().(*mac)
	m.Reset()
	m.Write(key)
	m.sum = m.Sum(m.sum[:0])
	out := Digest(m.sum)
	d.pool.Put(m)
	return out
}
