package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tallygate/tallygate/schemas/event"
)

// Numbers of the fields that are looked at without decoding a whole record.
const (
	fieldOccurredAt = 5
	fieldOrg        = 6
	fieldAdmitted   = 16
	fieldCompleted  = 17
	fieldAbandoned  = 19

	// Of Admitted, Completed and Abandoned, and of Facts.
	fieldFacts     = 1
	fieldRequestID = 1
)

// OpenRequests are the requests that were admitted and have no end yet, by id.
// It is a fold over the records of a spool.
type OpenRequests map[event.ID]OpenRequest

// OpenRequest is a request without an end.
type OpenRequest struct {
	Partition int32
	// Admitted is the sealed record of its admission.
	Admitted []byte
}

// Apply folds the next record in.
func (o OpenRequests) Apply(partition int32, record []byte) error {
	kind, body, err := bodyOf(record)
	if err != nil {
		return err
	}
	if kind != fieldAdmitted && kind != fieldCompleted && kind != fieldAbandoned {
		return nil
	}
	facts, err := bytesField(body, fieldFacts)
	if err != nil {
		return err
	}
	raw, err := bytesField(facts, fieldRequestID)
	if err != nil {
		return err
	}
	if len(raw) != len(event.ID{}) {
		return fmt.Errorf("the request's id has %d bytes", len(raw))
	}
	id := event.ID(raw)
	if kind == fieldAdmitted {
		o[id] = OpenRequest{Partition: partition, Admitted: bytes.Clone(record)}
	} else {
		delete(o, id)
	}
	return nil
}

// bodyOf returns the kind of a record's event, as its field's number, and the event.
func bodyOf(record []byte) (kind protowire.Number, body []byte, err error) {
	for len(record) > 0 {
		num, typ, n := protowire.ConsumeTag(record)
		if n < 0 {
			return 0, nil, protowire.ParseError(n)
		}
		record = record[n:]
		if typ == protowire.BytesType && num >= fieldAdmitted && num < 100 {
			body, n := protowire.ConsumeBytes(record)
			return num, body, protowire.ParseError(min(n, 0))
		}
		if n = protowire.ConsumeFieldValue(num, typ, record); n < 0 {
			return 0, nil, protowire.ParseError(n)
		}
		record = record[n:]
	}
	return 0, nil, nil
}

// bytesField returns the last value of a field of a message, or nil.
func bytesField(message []byte, want protowire.Number) (value []byte, err error) {
	for len(message) > 0 {
		num, typ, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		message = message[n:]
		if num == want && typ == protowire.BytesType {
			if value, n = protowire.ConsumeBytes(message); n < 0 {
				return nil, protowire.ParseError(n)
			}
		} else if n = protowire.ConsumeFieldValue(num, typ, message); n < 0 {
			return nil, protowire.ParseError(n)
		}
		message = message[n:]
	}
	return value, nil
}

// The carry keeps the requests that were open at the end of the last segment that
// was deleted, so that a long call's admission outlives its segment:
//
//	u64 first sequence number after the deleted segments | u32 CRC-32C | frames
const carryName = "open"

const carryHeader = 8 + 4

// writeCarry replaces the carry.
func writeCarry(d disk, dir string, through uint64, open OpenRequests) error {
	b := binary.LittleEndian.AppendUint64(nil, through)
	b = append(b, 0, 0, 0, 0)
	for _, id := range slices.SortedFunc(maps.Keys(open), func(a, b event.ID) int { return bytes.Compare(a[:], b[:]) }) {
		start := len(b)
		b = beginFrame(b, open[id].Partition)
		b = append(b, open[id].Admitted...)
		endFrame(b[start:])
	}
	binary.LittleEndian.PutUint32(b[8:], carrySum(b))
	return d.replace(filepath.Join(dir, carryName), b)
}

func carrySum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:8], castagnoli), castagnoli, b[carryHeader:])
}

// readCarry returns where the segments that were not deleted begin, and what was
// open there.
func readCarry(dir string) (through uint64, open OpenRequests, err error) {
	path := filepath.Join(dir, carryName)
	open = OpenRequests{}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 1, open, nil
	}
	if err != nil {
		return 0, nil, fmt.Errorf("cannot read the spool's open requests: %w", err)
	}
	if len(b) < carryHeader || binary.LittleEndian.Uint32(b[8:]) != carrySum(b) {
		return 0, nil, damaged(path, 0, "its checksum is wrong")
	}
	rest := b[carryHeader:]
	_, end, err := scan(bytes.NewReader(rest), int64(len(rest)), open.Apply)
	if err != nil {
		return 0, nil, damaged(path, carryHeader+end, "%s", err)
	}
	return binary.LittleEndian.Uint64(b), open, nil
}
