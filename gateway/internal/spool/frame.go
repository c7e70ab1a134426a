package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/tallygate/tallygate/schemas/event"
)

// A segment file is a row of frames:
//
//	u32 length of the payload | u32 CRC-32C of the payload | payload
//	payload = u32 partition | record, sealed
//
// All numbers are little-endian. A length of zero is the end of the data; what
// follows is space that was allocated and not used yet.
const (
	headerSize    = 8
	partitionSize = 4
	// overhead is what a frame adds to an event's body.
	overhead = headerSize + partitionSize + event.SealSize

	// MaxBodyBytes is the largest body of an event. With its seal and Kafka's own
	// fields it stays below the megabyte that brokers take by default.
	MaxBodyBytes = 900 << 10

	maxPayload = MaxBodyBytes + partitionSize + event.SealSize
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// beginFrame appends the parts of a frame before its record; endFrame fills in
// what is known only after it.
func beginFrame(dst []byte, partition int32) []byte {
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	return binary.LittleEndian.AppendUint32(dst, uint32(partition))
}

func endFrame(frame []byte) {
	payload := frame[headerSize:]
	binary.LittleEndian.PutUint32(frame, uint32(len(payload)))
	binary.LittleEndian.PutUint32(frame[4:], crc32.Checksum(payload, castagnoli))
}

// Reasons why no frame can be read at a place.
var (
	errEnd   = errors.New("the data ends here")
	errFrame = errors.New("not a valid frame")
)

// payloadSize reads a frame's header of headerSize bytes.
func payloadSize(header []byte) (int, error) {
	n := binary.LittleEndian.Uint32(header)
	if n == 0 {
		return 0, errEnd
	}
	if n < partitionSize || n > maxPayload {
		return 0, fmt.Errorf("%w: it says that its payload has %d bytes", errFrame, n)
	}
	return int(n), nil
}

// openFrame checks a whole frame and returns its parts.
func openFrame(frame []byte) (partition int32, record []byte, err error) {
	payload := frame[headerSize:]
	if got, want := crc32.Checksum(payload, castagnoli), binary.LittleEndian.Uint32(frame[4:]); got != want {
		return 0, nil, fmt.Errorf("%w: its checksum is %08x, its header says %08x", errFrame, got, want)
	}
	return int32(binary.LittleEndian.Uint32(payload)), payload[partitionSize:], nil
}

// frames reads the frames of one file in order, in large pieces.
type frames struct {
	r io.ReaderAt
	// off is the place of buf's first byte, and of the frame that next reads.
	off int64
	// limit is the end of what may be read.
	limit int64
	buf   []byte
}

// pieceBytes is how much is read at once.
const pieceBytes = 256 << 10

// next returns the next frame. Its bytes stay valid: no buffer is used twice.
// After an error off is still at the frame that could not be read.
func (f *frames) next() ([]byte, error) {
	if err := f.fill(headerSize); err != nil {
		return nil, err
	}
	n, err := payloadSize(f.buf)
	if err != nil {
		return nil, err
	}
	size := headerSize + n
	if err := f.fill(size); err != nil {
		return nil, err
	}
	frame := f.buf[:size:size]
	f.buf, f.off = f.buf[size:], f.off+int64(size)
	return frame, nil
}

// fill makes buf hold at least n bytes.
func (f *frames) fill(n int) error {
	if len(f.buf) >= n {
		return nil
	}
	left := f.limit - f.off
	if left <= 0 {
		return errEnd
	}
	if left < int64(n) {
		return fmt.Errorf("%w: only %d of its %d bytes are there", errFrame, left, n)
	}
	buf := make([]byte, max(int64(n), min(left, pieceBytes)))
	if _, err := f.r.ReadAt(buf, f.off); err != nil {
		return err
	}
	f.buf = buf
	return nil
}

// scan reads a file of size bytes and returns how many frames it holds and where
// they end. The error wraps errFrame if what follows is neither a frame nor
// unused space, and is errDamage if data follows that was once safe.
func scan(r io.ReaderAt, size int64, each func(partition int32, record []byte) error) (count uint64, end int64, err error) {
	f := frames{r: r, limit: size}
	for {
		frame, err := f.next()
		if err == nil {
			var partition int32
			var record []byte
			if partition, record, err = openFrame(frame); err == nil {
				if each != nil {
					if err := each(partition, record); err != nil {
						return count, end, err
					}
				}
				count, end = count+1, f.off
				continue
			}
		}
		if errors.Is(err, errEnd) || errors.Is(err, errFrame) {
			err = tail(r, end, size)
		}
		return count, end, err
	}
}

// errDamage says that valid frames follow something that is none.
var errDamage = errors.New("damaged")

// tail says what stands behind the last good frame: nil for unused space,
// errFrame for the remains of a write that did not finish, errDamage otherwise.
// A kill leaves the beginning of a write; a loss of power may also leave its end
// without its middle, which then is a page of zeros.
func tail(r io.ReaderAt, end, size int64) error {
	buf := make([]byte, pieceBytes)
	var torn, hole bool
	for off := end; off < size; {
		piece := buf[:min(int64(len(buf)), size-off)]
		if _, err := r.ReadAt(piece, off); err != nil {
			return err
		}
		torn = torn || !allZero(piece)
		if at, ok := findFrame(r, off, size, piece); ok {
			if !hole && !zeroPage(piece[:at], off) {
				return fmt.Errorf("%w: a valid frame follows at %d", errDamage, off+int64(at))
			}
			return errFrame
		}
		hole = hole || zeroPage(piece, off)
		if off += int64(len(piece)); off < size {
			// Pieces overlap, so that no frame's beginning and no page is missed.
			off -= pageSize
		}
	}
	if torn {
		return errFrame
	}
	return nil
}

// probeSize is the beginning of a frame by which it is found: header, partition
// and the tag of the event's id, which every record starts with.
const probeSize = headerSize + partitionSize + 2

// findFrame returns where in a piece that stands at off a valid frame starts.
func findFrame(r io.ReaderAt, off, size int64, piece []byte) (int, bool) {
	tag := []byte{0x0a, 16}
	for from := probeSize - 2; from < len(piece); {
		i := bytes.Index(piece[from:], tag)
		if i < 0 {
			return 0, false
		}
		at := from + i - (probeSize - 2)
		from += i + 1
		f := frames{r: r, off: off + int64(at), limit: size}
		if n, err := payloadSize(piece[at:]); err != nil || f.off+int64(headerSize+n) > size {
			continue
		}
		frame, err := f.next()
		if err != nil {
			continue
		}
		if _, _, err := openFrame(frame); err == nil {
			return at, true
		}
	}
	return 0, false
}

const pageSize = 4096

// zeroPage says if a whole page of zeros lies in a piece that stands at off.
func zeroPage(piece []byte, off int64) bool {
	for at := int(-off & (pageSize - 1)); at+pageSize <= len(piece); at += pageSize {
		if allZero(piece[at : at+pageSize]) {
			return true
		}
	}
	return false
}

var zeros [pageSize]byte

func allZero(b []byte) bool {
	for len(b) > pageSize {
		if !bytes.Equal(b[:pageSize], zeros[:]) {
			return false
		}
		b = b[pageSize:]
	}
	return bytes.Equal(b, zeros[:len(b)])
}
