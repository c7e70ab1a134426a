package key

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"testing"
)

// golden is a key that was made once: it must be one for ever.
const golden = "tg_live_" + "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg" + "0WlpAb"

func TestNew(t *testing.T) {
	seen, used := map[string]bool{}, map[rune]bool{}
	for range 1000 {
		k := New()
		if len(k) != Len || !strings.HasPrefix(k, Prefix) || seen[k] {
			t.Fatalf("unexpected key %s", k)
		}
		if err := Check([]byte(k)); err != nil {
			t.Fatalf("a fresh key is refused: %v", err)
		}
		seen[k] = true
		for _, c := range k[len(Prefix):] {
			used[c] = true
		}
	}
	if len(used) != len(alphabet) {
		t.Fatalf("unexpected number of characters in use; got %d; want %d", len(used), len(alphabet))
	}
	if err := Check([]byte(golden)); err != nil {
		t.Fatalf("a key of earlier times is refused: %v", err)
	}
}

func TestCheckFindsEveryTypo(t *testing.T) {
	for i := range golden {
		for _, c := range []byte(alphabet + " -_\x00\xff") {
			typo := []byte(golden)
			if typo[i] == c {
				continue
			}
			typo[i] = c
			if Check(typo) == nil {
				t.Fatalf("%q differs from a key at byte %d and passes", typo, i)
			}
		}
		if i > len(Prefix) && golden[i] != golden[i-1] {
			swapped := []byte(golden)
			swapped[i], swapped[i-1] = swapped[i-1], swapped[i]
			if Check(swapped) == nil {
				t.Fatalf("%q has two characters swapped at byte %d and passes", swapped, i)
			}
		}
	}
}

func TestCheckFails(t *testing.T) {
	for _, k := range []string{"", "tg_live_", "sk-proj-abc", golden[1:], golden + "x", " " + golden[1:], strings.ToUpper(golden), strings.Repeat("x", 1<<16)} {
		err := Check([]byte(k))
		if !errors.Is(err, ErrMalformed) {
			t.Fatalf("unexpected answer for %.80q: %v", k, err)
		}
		if k != "" && strings.Contains(err.Error(), k) {
			t.Fatalf("the error shows what may be a key: %v", err)
		}
	}
}

func TestRedacted(t *testing.T) {
	if got := Redacted(golden); got != "tg_live_0123…" {
		t.Fatalf("unexpected redaction: %s", got)
	}
	for _, k := range []string{"", "short", "tg_live_0123", golden[:Len-1], strings.Repeat("secret", 20)} {
		if got := Redacted(k); got != "…" {
			t.Fatalf("unexpected redaction of %q: %s", k, got)
		}
	}
}

func TestDigest(t *testing.T) {
	pepper := bytes.Repeat([]byte("p"), MinPepperLen)
	d, err := NewDigester(pepper)
	if err != nil {
		t.Fatal(err)
	}
	digest := func(pepper, text string) Digest {
		m := hmac.New(sha256.New, []byte(pepper))
		m.Write([]byte(text))
		return Digest(m.Sum(nil))
	}
	want := digest(string(pepper), golden)
	// The digester keeps a copy of the pepper, and one value serves many goroutines.
	clear(pepper)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				if got := d.Digest([]byte(golden)); got != want {
					t.Errorf("unexpected digest; got %x; want %x", got, want)
					return
				}
			}
		})
	}
	wg.Wait()
	other, err := NewDigester(bytes.Repeat([]byte("q"), MinPepperLen))
	if err != nil {
		t.Fatal(err)
	}
	if other.Digest([]byte(golden)) == want || d.Digest([]byte(golden[1:])) == want {
		t.Fatal("another pepper or key must give another digest")
	}
	if _, err := NewDigester(make([]byte, MinPepperLen-1)); err == nil || !strings.Contains(err.Error(), "at least 32 bytes") {
		t.Fatalf("unexpected answer for a short pepper: %v", err)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte(golden))
	f.Add([]byte("tg_live_"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if Check(text) != nil {
			return
		}
		if sum := appendChecksum(nil, text[:Len-checksumLen]); len(text) != Len || !bytes.HasSuffix(text, sum) {
			t.Fatalf("%q passes", text)
		}
		if r := Redacted(string(text)); len(r) > len(Prefix)+4+len("…") {
			t.Fatalf("the redaction shows too much: %s", r)
		}
	})
}
