package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
)

// checkpointName is the file that says how far Kafka has the spool. One that is
// too old only makes records go to Kafka twice, which every consumer expects.
const checkpointName = "checkpoint"

// checkpointMagic begins the file: u32 magic | u64 spool | u64 next | u32 CRC-32C.
const (
	checkpointMagic = 0x31_50_43_54
	checkpointSize  = 4 + 8 + 8 + 4
)

func writeCheckpoint(d disk, dir string, id, next uint64) error {
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, checkpointSize), checkpointMagic)
	b = binary.LittleEndian.AppendUint64(b, id)
	b = binary.LittleEndian.AppendUint64(b, next)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return d.replace(filepath.Join(dir, checkpointName), b)
}

// readCheckpoint returns the first sequence number that Kafka has not
// acknowledged: 1 if there is no checkpoint yet.
func readCheckpoint(dir string, id uint64) (uint64, error) {
	path := filepath.Join(dir, checkpointName)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("cannot read spool checkpoint: %w", err)
	}
	if len(b) != checkpointSize || binary.LittleEndian.Uint32(b) != checkpointMagic ||
		binary.LittleEndian.Uint64(b[4:]) != id || binary.LittleEndian.Uint32(b[20:]) != crc32.Checksum(b[:20], castagnoli) {
		return 0, fmt.Errorf("%w: file %q is no checkpoint of spool %016x; remove it: what Kafka already has is then sent again, which does no harm",
			ErrDamaged, path, id)
	}
	return binary.LittleEndian.Uint64(b[12:]), nil
}
