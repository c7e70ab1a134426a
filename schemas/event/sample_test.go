package event

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// message is a message of the events with the code of vtprotobuf.
type message interface {
	proto.Message
	MarshalVT() ([]byte, error)
	MarshalToSizedBufferVT([]byte) (int, error)
	SizeVT() int
	UnmarshalVT([]byte) error
}

// samples returns one message of each kind that is ever a record, by a name for
// it, with every field set: an envelope for each body, a control event for each change.
func samples() map[string]message {
	out := map[string]message{"balance": &Balance{}, "heartbeat": &Heartbeat{}, "dead_letter": &DeadLetter{}}
	for _, m := range out {
		fill(m.ProtoReflect(), new(int), "")
	}
	bodies := (&Envelope{}).ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()
	for i := range bodies.Len() {
		e := &Envelope{}
		fill(e.ProtoReflect(), new(int), bodies.Get(i).Name())
		e.SchemaVersion = 1
		// The seal is appended to what is encoded; no one else writes it.
		e.Pseq, e.PrevHash, e.Hash = 0, nil, nil
		out["envelope_"+string(bodies.Get(i).Name())] = e
	}
	changes := (&Change{}).ProtoReflect().Descriptor().Oneofs().ByName("change").Fields()
	for i := range changes.Len() {
		e := &ControlEvent{}
		fill(e.ProtoReflect(), new(int), changes.Get(i).Name())
		e.SchemaVersion = 1
		out["control_"+string(changes.Get(i).Name())] = e
	}
	return out
}

// fill sets every field to a value of its own. Of a oneof it sets the named field only.
func fill(m protoreflect.Message, n *int, choice protoreflect.Name) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.ContainingOneof() != nil && f.Name() != choice:
		case f.IsList():
			list := m.Mutable(f).List()
			for range 2 {
				if f.Message() != nil {
					fill(list.AppendMutable().Message(), n, choice)
				} else {
					list.Append(scalar(f, n))
				}
			}
		case f.Message() != nil:
			fill(m.Mutable(f).Message(), n, choice)
		default:
			m.Set(f, scalar(f, n))
		}
	}
}

func scalar(f protoreflect.FieldDescriptor, n *int) protoreflect.Value {
	*n++
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(fmt.Sprintf("%s %d ü", f.Name(), *n))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(fmt.Sprintf("\x00\xff bytes of %03d", *n)))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(1 + *n%(f.Enum().Values().Len()-1)))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(1000 + *n))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(1<<40 + uint64(*n))
	case protoreflect.Int64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(-1<<40 - int64(*n))
	}
	panic("no sample for the kind " + f.Kind().String())
}
