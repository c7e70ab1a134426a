package event

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// TestCodecsAgree writes each sample by vtprotobuf and by the protobuf library, and
// reads each by both.
func TestCodecsAgree(t *testing.T) {
	for name, m := range samples() {
		fast, err := m.MarshalVT()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(fast) != m.SizeVT() || len(fast) != proto.Size(m) {
			t.Fatalf("%s: unexpected size; wrote %d bytes, SizeVT says %d, proto.Size %d", name, len(fast), m.SizeVT(), proto.Size(m))
		}
		library, err := proto.Marshal(m)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for codec, data := range map[string][]byte{"vtprotobuf": fast, "the protobuf library": library} {
			viaFast, viaLibrary := m.ProtoReflect().New().Interface().(message), m.ProtoReflect().New().Interface()
			if err := viaFast.UnmarshalVT(data); err != nil || !proto.Equal(viaFast, m) {
				t.Fatalf("%s: vtprotobuf reads what %s wrote as %v (%v); want %v", name, codec, viaFast, err, m)
			}
			if err := proto.Unmarshal(data, viaLibrary); err != nil || !proto.Equal(viaLibrary, m) {
				t.Fatalf("%s: the protobuf library reads what %s wrote as %v (%v); want %v", name, codec, viaLibrary, err, m)
			}
		}
	}
}

// TestUnknownFieldsAreKept reads what a newer version wrote, and writes it again
// without losing what this version does not know.
func TestUnknownFieldsAreKept(t *testing.T) {
	for name, m := range samples() {
		data, err := m.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		unknown := protowire.AppendTag(nil, 4242, protowire.BytesType)
		unknown = protowire.AppendString(unknown, "from the future")
		data = append(data, unknown...)
		again := m.ProtoReflect().New().Interface().(message)
		if err := again.UnmarshalVT(data); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(again.ProtoReflect().GetUnknown(), unknown) {
			t.Fatalf("%s: unexpected unknown fields %x; want %x", name, again.ProtoReflect().GetUnknown(), unknown)
		}
		if out, err := again.MarshalVT(); err != nil || !bytes.Contains(out, unknown) {
			t.Fatalf("%s: the unknown field is lost when written again (%v)", name, err)
		}
	}
}

func FuzzEnvelope(f *testing.F) {
	for _, m := range samples() {
		if e, ok := m.(*Envelope); ok {
			data, err := e.MarshalVT()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte{0xa1, 0x06, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		var e Envelope
		if err := e.UnmarshalVT(data); err != nil {
			return
		}
		again, err := e.MarshalVT()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		var second Envelope
		if err := second.UnmarshalVT(again); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if third, err := second.MarshalVT(); err != nil || !bytes.Equal(third, again) {
			t.Fatalf("writing is not stable (%v):\n%x\n%x", err, again, third)
		}
	})
}
