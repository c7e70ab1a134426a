package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate/schemas/event"
)

// oneSegment returns the bytes of a spool's only segment with some calls in it,
// without the space that was allocated ahead, and where each frame begins.
func oneSegment(t testing.TB, calls, pad int) (id uint64, data []byte, starts []int) {
	t.Helper()
	s, err := Open(options(t.TempDir()))
	if err != nil {
		t.Fatalf("cannot open a spool: %s", err)
	}
	for range calls {
		appendOne(t, s, 0, body(t, s, 0, event.NewID(time.Now()), completed, pad))
	}
	end := int(s.end.Load())
	data, err = os.ReadFile(s.path(1))
	if err != nil {
		t.Fatal(err)
	}
	if len(data) != 1<<20 || !allZero(data[end:]) {
		t.Fatalf("the segment is not allocated ahead: %d bytes, %d used", len(data), end)
	}
	_ = s.Close(t.Context())
	data = data[:end]
	f := frames{r: bytes.NewReader(data), limit: int64(end)}
	for f.off < f.limit {
		starts = append(starts, int(f.off))
		if _, err := f.next(); err != nil {
			t.Fatal(err)
		}
	}
	return s.ID(), data, starts
}

// folder makes a spool's folder out of files.
func folder(t testing.TB, id uint64, files map[string][]byte) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), folderName(id))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestTornTailAtEveryByte(t *testing.T) {
	id, data, starts := oneSegment(t, 2, 0)
	f := func(segment []byte, cut, want int) {
		t.Helper()
		dir := folder(t, id, map[string][]byte{segmentName(1): segment})
		l, err := OpenLog(dir)
		if err != nil {
			t.Fatalf("cannot repair a segment cut at %d: %s", cut, err)
		}
		if got := readAll(t, l); len(got) != want || l.Next() != uint64(want)+1 {
			t.Fatalf("unexpected records of a segment cut at %d; got %d, next %d; want %d", cut, len(got), l.Next(), want)
		}
		// Once repaired there is nothing to repair.
		info, err := os.Stat(filepath.Join(dir, segmentName(1)))
		if err != nil || info.Size() != l.end.Load() {
			t.Fatalf("the segment was not cut: %v, error %v", info, err)
		}
	}
	whole := 0
	for cut := range len(data) + 1 {
		for whole < len(starts) && (whole+1 < len(starts) && starts[whole+1] <= cut || whole+1 == len(starts) && len(data) <= cut) {
			whole++
		}
		// What a kill leaves: a beginning, then zeros that were allocated; or nothing, on
		// file systems that cannot allocate.
		f(append(bytes.Clone(data[:cut]), make([]byte, 5000)...), cut, whole)
		f(bytes.Clone(data[:cut]), cut, whole)
	}
}

func TestTornByLossOfPower(t *testing.T) {
	// A page that did not reach the disk, with one behind it that did.
	id, data, starts := oneSegment(t, 40, 900)
	hole := bytes.Clone(data)
	copy(hole[2*pageSize:3*pageSize], zeros[:])
	want := 0
	for want < len(starts)-1 && starts[want+1] <= 2*pageSize {
		want++
	}
	l, err := OpenLog(folder(t, id, map[string][]byte{segmentName(1): hole}))
	if err != nil {
		t.Fatalf("cannot repair: %s", err)
	}
	if got := readAll(t, l); len(got) != want {
		t.Fatalf("unexpected records before the hole; got %d; want %d", len(got), want)
	}
}

func TestDamage(t *testing.T) {
	id, data, starts := oneSegment(t, 6, 60)
	flipped := func(at int) []byte {
		b := bytes.Clone(data)
		b[at] ^= 0x40
		return b
	}
	at := starts[2]
	last := starts[len(starts)-1]
	f := func(name string, files map[string][]byte, wants ...string) {
		t.Helper()
		dir := folder(t, id, files)
		_, err := OpenLog(dir)
		if !errors.Is(err, ErrDamaged) {
			t.Fatalf("%s: unexpected error; got %v; want one that wraps %v", name, err, ErrDamaged)
		}
		for _, want := range append(wants, dir) {
			if !strings.Contains(err.Error(), want) {
				t.Fatalf("%s: unexpected error; got %q; want %q in it", name, err, want)
			}
		}
		for n, data := range files {
			if got, err := os.ReadFile(filepath.Join(dir, n)); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%s: file %s was changed, error %v", name, n, err)
			}
		}
	}
	place := func(off int) string { return fmt.Sprintf("at offset %d:", off) }
	for i := range starts[3] - at {
		f("a flipped bit", map[string][]byte{segmentName(1): flipped(at + i)}, segmentName(1), place(at))
	}
	f("a torn end before the last segment", map[string][]byte{segmentName(1): data[:last+20], segmentName(7): {}}, segmentName(1), place(last))
	f("space before the last segment", map[string][]byte{segmentName(1): append(bytes.Clone(data), make([]byte, 100)...), segmentName(8): {}}, segmentName(1), place(len(data)))
	f("a missing segment", map[string][]byte{segmentName(1): data, segmentName(20): {}}, segmentName(20), "frame 8 is missing")
	f("a missing first segment", map[string][]byte{segmentName(5): data}, segmentName(5), "frame 1 is missing")
	f("a foreign file", map[string][]byte{"7.log": data}, "7.log")
	f("a broken checkpoint", map[string][]byte{segmentName(1): data, checkpointName: make([]byte, checkpointSize)}, checkpointName, "remove it")
	f("a broken carry", map[string][]byte{segmentName(1): data, carryName: make([]byte, 40)}, carryName)
}

func TestOpenLogTidies(t *testing.T) {
	id, data, _ := oneSegment(t, 3, 10)
	dir := folder(t, id, map[string][]byte{segmentName(1): data, "1" + spareSuffix: {1}, checkpointName + tempSuffix: {1}})
	if _, err := OpenLog(dir); err != nil {
		t.Fatalf("cannot open: %s", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("unexpected files: %v, error %v", entries, err)
	}
	if _, err := OpenLog(t.TempDir()); err == nil || !strings.Contains(err.Error(), "16 hexadecimal digits") {
		t.Fatalf("unexpected error for a folder that is no spool: %v", err)
	}
}

// TestReaderSeesDamage changes a frame under a running spool.
func TestReaderSeesDamage(t *testing.T) {
	s := open(t, options(t.TempDir()))
	for range 3 {
		appendOne(t, s, 0, body(t, s, 0, event.NewID(time.Now()), completed, 10))
	}
	f, err := os.OpenFile(s.path(1), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{0xff}, 30); err != nil {
		t.Fatal(err)
	}
	r, err := s.NewReader()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Next(); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "at offset 0:") {
		t.Fatalf("unexpected error: %v", err)
	}
}

func FuzzScan(f *testing.F) {
	_, data, starts := oneSegment(f, 3, 30)
	f.Add(data)
	f.Add(data[:len(data)-7])
	f.Add(append(bytes.Clone(data), make([]byte, 64)...))
	f.Add(append(bytes.Clone(data[:starts[1]]), data[starts[2]:]...))
	f.Add([]byte{0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		open := OpenRequests{}
		var n uint64
		count, end, err := scan(bytes.NewReader(data), int64(len(data)), func(partition int32, record []byte) error {
			n++
			_ = open.Apply(partition, record)
			r := Record{Bytes: record}
			_, _, _ = r.Org()
			return nil
		})
		if end < 0 || end > int64(len(data)) || count != n {
			t.Fatalf("%d frames, %d seen, end %d of %d", count, n, end, len(data))
		}
		if err != nil && !errors.Is(err, errFrame) && !errors.Is(err, errDamage) {
			t.Fatalf("unexpected error: %s", err)
		}
		// What is cut at its end is whole, and says the same.
		again, end2, err := scan(bytes.NewReader(data[:end]), end, nil)
		if again != count || end2 != end || err != nil {
			t.Fatalf("cut at %d: %d frames, end %d, error %v; before %d", end, again, end2, err, count)
		}
		// A reader gets as far and no farther.
		in := frames{r: bytes.NewReader(data), limit: end}
		for in.off < end {
			if _, err := in.next(); err != nil {
				t.Fatalf("cannot read what was scanned: %s", err)
			}
		}
		if _, err := in.next(); !errors.Is(err, errEnd) && !errors.Is(err, io.EOF) {
			t.Fatalf("unexpected error at the end: %v", err)
		}
	})
}
