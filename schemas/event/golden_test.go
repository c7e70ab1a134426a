package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

var update = flag.Bool("update", false, "add golden records for fields and bodies that are in none; none is ever rewritten")

// sums lists every golden file with its SHA-256. Its lines are added to, never
// edited: the records in the log are as they are.
const sums = "testdata/SHA256SUMS"

// goldenSeal is the seal of the golden envelopes.
var goldenSeal = struct {
	pseq uint64
	prev Hash
}{7, Hash{1, 2, 3, 31: 32}}

func readSums(t *testing.T) (names []string, byName map[string]string) {
	t.Helper()
	data, err := os.ReadFile(sums)
	if err != nil && !(*update && os.IsNotExist(err)) {
		t.Fatal(err)
	}
	byName = map[string]string{}
	for line := range strings.Lines(string(data)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		names, byName[name] = append(names, name), sum
	}
	return names, byName
}

func TestGoldenFilesAreNeverEdited(t *testing.T) {
	names, want := readSums(t)
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Errorf("a golden file is gone: %v", err)
		} else if got := fmt.Sprintf("%x", sha256.Sum256(data)); got != want[name] {
			t.Errorf("testdata/%s was edited; golden files are added to, never edited", name)
		}
	}
	files, _ := filepath.Glob("testdata/*.bin")
	views, _ := filepath.Glob("testdata/*.json")
	for _, path := range append(files, views...) {
		if want[filepath.Base(path)] == "" {
			t.Errorf("%s is not in %s", path, sums)
		}
	}
}

// TestGoldenRecordsAreRead opens each golden record as it was written, whatever has
// been added to the events since, and writes it again to the same bytes.
func TestGoldenRecordsAreRead(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.bin")
	if len(files) < 20 {
		t.Fatalf("unexpected number of golden records: %d", len(files))
	}
	for _, path := range files {
		record, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m := newMessage(t, path)
		if err := m.UnmarshalVT(record); err != nil {
			t.Errorf("cannot read %s: %v", path, err)
			continue
		}
		if e, ok := m.(*Envelope); ok {
			seal, err := OpenSeal(record)
			if err != nil || seal.Pseq != e.Pseq || seal.Pseq != goldenSeal.pseq || seal.Prev != goldenSeal.prev || !bytes.Equal(seal.Hash[:], e.Hash) {
				t.Errorf("unexpected seal of %s: %+v, %v", path, seal, err)
			}
		}
		if len(m.ProtoReflect().GetUnknown()) > 0 {
			t.Errorf("%s has fields that are no longer known", path)
		}
		want, err := os.ReadFile(strings.TrimSuffix(path, ".bin") + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if got := view(t, m); !bytes.Equal(got, want) {
			t.Errorf("%s reads as\n%s\nwant\n%s", path, got, want)
		}
		if again, err := write(m); err != nil || !bytes.Equal(again, record) {
			t.Errorf("%s is not written again to the same bytes: %v", path, err)
		}
	}
}

// write encodes a message as whoever emits it does: an envelope without its seal,
// which is then appended, since its place is the record's end.
func write(m message) ([]byte, error) {
	e, ok := m.(*Envelope)
	if !ok {
		return m.MarshalVT()
	}
	body := proto.CloneOf(e)
	body.Pseq, body.PrevHash, body.Hash = 0, nil, nil
	record, err := body.MarshalVT()
	if err != nil {
		return nil, err
	}
	record, _ = AppendSeal(record, 0, goldenSeal.pseq, &goldenSeal.prev)
	return record, nil
}

// TestGoldenRecordsHoldEveryField fails when a field or a body is added without a
// golden record that has it.
func TestGoldenRecordsHoldEveryField(t *testing.T) {
	if *update {
		addGolden(t)
	}
	seen := map[protoreflect.FullName]bool{}
	files, _ := filepath.Glob("testdata/*.bin")
	for _, path := range files {
		record, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m := newMessage(t, path)
		if err := m.UnmarshalVT(record); err == nil {
			note(m.ProtoReflect(), seen)
		}
	}
	for name, m := range samples() {
		want := map[protoreflect.FullName]bool{}
		note(m.ProtoReflect(), want)
		for f := range want {
			if !seen[f] {
				t.Errorf("no golden record of %s holds the field %s; run: go test ./schemas/event -run GoldenRecordsHold -update", name, f)
			}
		}
	}
}

// note collects the fields that are set.
func note(m protoreflect.Message, seen map[protoreflect.FullName]bool) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		seen[f.FullName()] = true
		switch {
		case f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				note(v.List().Get(i).Message(), seen)
			}
		default:
			note(v.Message(), seen)
		}
		return true
	})
}

// newMessage returns an empty message of the type that a golden file's name says.
func newMessage(t *testing.T, path string) message {
	t.Helper()
	switch kind, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), ".bin"), "."); {
	case strings.HasPrefix(kind, "envelope_"):
		return &Envelope{}
	case strings.HasPrefix(kind, "control_"):
		return &ControlEvent{}
	case kind == "balance":
		return &Balance{}
	case kind == "heartbeat":
		return &Heartbeat{}
	case kind == "dead_letter":
		return &DeadLetter{}
	}
	t.Fatalf("the name of %s says no type", path)
	return nil
}

// view returns a message as JSON for people, always in the same form.
func view(t *testing.T, m proto.Message) []byte {
	t.Helper()
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	// protojson varies its white space on purpose.
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		t.Fatal(err)
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// addGolden writes a record for each sample that has a field which no record of its
// kind has: <kind>.bin the first time, then <kind>.2.bin and so on.
func addGolden(t *testing.T) {
	names, _ := readSums(t)
	all := samples()
	kinds := make([]string, 0, len(all))
	for kind := range all {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	var added strings.Builder
	for _, kind := range kinds {
		name, want, have := kind, map[protoreflect.FullName]bool{}, map[protoreflect.FullName]bool{}
		note(all[kind].ProtoReflect(), want)
		for n := 2; slices.Contains(names, name+".bin"); n++ {
			record, err := os.ReadFile(filepath.Join("testdata", name+".bin"))
			if err != nil {
				t.Fatal(err)
			}
			old := newMessage(t, name+".bin")
			if err := old.UnmarshalVT(record); err != nil {
				t.Fatal(err)
			}
			note(old.ProtoReflect(), have)
			name = fmt.Sprintf("%s.%d", kind, n)
		}
		if covers(have, want) {
			continue
		}
		record, err := write(all[kind])
		if err != nil {
			t.Fatal(err)
		}
		sealed := newMessage(t, name+".bin")
		if err := sealed.UnmarshalVT(record); err != nil {
			t.Fatal(err)
		}
		for suffix, data := range map[string][]byte{".bin": record, ".json": view(t, sealed)} {
			if err := os.WriteFile(filepath.Join("testdata", name+suffix), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Fprintf(&added, "%x  %s.bin\n%x  %s.json\n", sha256.Sum256(record), name, sha256.Sum256(view(t, sealed)), name)
	}
	f, err := os.OpenFile(sums, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(added.String()); err != nil {
		t.Fatal(err)
	}
}

func covers(have, want map[protoreflect.FullName]bool) bool {
	for f := range want {
		if !have[f] {
			return false
		}
	}
	return true
}
