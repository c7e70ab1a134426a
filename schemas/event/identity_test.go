package event

import (
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

var uuidV7 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestNewID(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 30, 0, 123_456_789, time.UTC)
	id := NewID(at)
	text := id.String()
	if !uuidV7.MatchString(text) {
		t.Fatalf("%s is no UUIDv7", text)
	}
	ms := int64(id[0])<<40 | int64(id[1])<<32 | int64(id[2])<<24 | int64(id[3])<<16 | int64(id[4])<<8 | int64(id[5])
	if ms != at.UnixMilli() {
		t.Fatalf("unexpected time in %s; got %d; want %d", text, ms, at.UnixMilli())
	}
	if b, err := id.AppendText([]byte("id=")); err != nil || string(b) != "id="+text {
		t.Fatalf("unexpected text; got %q, %v", b, err)
	}
	if got := (ID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}).String(); got != "00010203-0405-0607-0809-0a0b0c0d0e0f" {
		t.Fatalf("unexpected text of an id: %s", got)
	}
}

func TestIDsAreOrderedByMillisecond(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_000)
	last := ""
	for range 1000 {
		id := NewID(at).String()
		if strings.Compare(id, last) <= 0 {
			t.Fatalf("%s does not come after %s", id, last)
		}
		last, at = id, at.Add(time.Millisecond)
	}
}

func TestIDsAreUnique(t *testing.T) {
	const workers, each = 8, 50_000
	at := time.Now()
	made := make([][]ID, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range each {
				made[w] = append(made[w], NewID(at))
			}
		})
	}
	wg.Wait()
	seen := make(map[ID]bool, workers*each)
	for _, ids := range made {
		for _, id := range ids {
			if seen[id] {
				t.Fatalf("%s was made twice", id)
			}
			seen[id] = true
		}
	}
}

func TestNewSpool(t *testing.T) {
	seen := map[uint64]bool{}
	for range 10_000 {
		s := NewSpool()
		if s == 0 || s>>63 != 0 || seen[s] {
			t.Fatalf("unexpected spool id %016x: it is zero, negative as a signed number, or known", s)
		}
		seen[s] = true
	}
}
