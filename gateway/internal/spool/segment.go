package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// segment is one file of a spool.
type segment struct {
	// first is the sequence number of its first frame, and its name.
	first uint64
	// start is the position in the spool of its first byte. Positions count bytes
	// of frames from the oldest segment that existed when the spool was opened.
	start int64
	// size is how many bytes of frames it holds; for the segment that is being
	// written, none of this is known here: it is open.
	size int64
	open bool
}

const segmentSuffix = ".log"

func segmentName(first uint64) string { return fmt.Sprintf("%020d", first) + segmentSuffix }

// spareSuffix ends the names of files that are allocated ahead.
const spareSuffix = ".spare"

// ErrDamaged is wrapped by errors that name a file and a place in it that was
// changed after it was written, or a file that is missing. Nothing is skipped.
var ErrDamaged = errors.New("the spool is damaged")

func damaged(path string, offset int64, format string, args ...any) error {
	return fmt.Errorf("%w: file %q at offset %d: %s; possible solutions: restore the file; move its folder away, which gives up what was not shipped",
		ErrDamaged, path, offset, fmt.Sprintf(format, args...))
}

// listSegments returns the sequence numbers of a folder's segments in order, and
// the files that a crash has left half made.
func listSegments(dir string) (firsts []uint64, leftovers []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot list spool folder: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch name := e.Name(); {
		case strings.HasSuffix(name, tempSuffix), strings.HasSuffix(name, spareSuffix):
			leftovers = append(leftovers, path)
		case strings.HasSuffix(name, segmentSuffix):
			n, err := strconv.ParseUint(strings.TrimSuffix(name, segmentSuffix), 10, 64)
			if err != nil || segmentName(n) != name {
				return nil, nil, damaged(path, 0, "the name is not that of a segment")
			}
			firsts = append(firsts, n)
		}
	}
	slices.Sort(firsts)
	return firsts, leftovers, nil
}

// repairSegment checks a segment and returns its frames' number and bytes. The
// remains of an unfinished write at the end of the last one are cut.
func repairSegment(path string, last bool) (count uint64, size int64, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, 0, fmt.Errorf("cannot open spool segment: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, 0, fmt.Errorf("cannot open spool segment: %w", err)
	}
	count, size, err = scan(f, info.Size(), nil)
	switch {
	case errors.Is(err, errDamage), errors.Is(err, errFrame) && !last:
		return 0, 0, damaged(path, size, "%s", err)
	case err != nil && !errors.Is(err, errFrame):
		return 0, 0, fmt.Errorf("cannot read spool segment %q: %w", path, err)
	case size == info.Size():
		return count, size, nil
	case !last:
		return 0, 0, damaged(path, size, "%d bytes of frames are missing before the next segment", info.Size()-size)
	}
	if err := f.Truncate(size); err != nil {
		return 0, 0, fmt.Errorf("cannot cut spool segment %q at %d: %w", path, size, err)
	}
	if err := f.Sync(); err != nil {
		return 0, 0, fmt.Errorf("cannot sync spool segment %q: %w", path, err)
	}
	return count, size, nil
}
