package provider

import "bytes"

// Block is one event of a stream of server-sent events.
type Block struct {
	// Raw is the event with its blank line, as it came.
	Raw []byte
	// Data is the event's data; several data lines are joined by line feeds.
	Data []byte
	// DataAt is where Data begins in Raw, or -1 if it is joined from several lines.
	DataAt int
	// HasData says if there was a data line at all.
	HasData bool
	// Name is the value of the event field, empty if none.
	Name []byte
}

// SSE finds the events in a stream that comes in pieces, by the rules of the HTML
// standard, section 9.2: lines end in LF, CRLF or CR, an event ends with a blank
// line, lines that begin with a colon are comments. Events may be cut anywhere and be
// of any size; nothing is searched twice. The zero SSE is ready.
type SSE struct {
	// lines is where the first line begins of which no end was seen yet, searched is
	// how far it was looked for. Both are places in what Next was given last.
	lines, searched int
	// bareCR says that the line before ended in a CR alone.
	bareCR bool
	// started says that the stream's first event is over.
	started bool
	joined  []byte
}

// Reset makes s ready for another stream. A large buffer is dropped.
func (s *SSE) Reset() {
	joined := s.joined[:0]
	if cap(joined) > 64<<10 {
		joined = nil
	}
	*s = SSE{joined: joined}
}

// Next takes the next whole event from p. n is 0 if p holds none yet; the next call
// must then get the same bytes with more behind them. b is valid until the next call.
func (s *SSE) Next(p []byte) (b Block, n int) {
	for {
		end, next := s.lineEnd(p)
		if next == 0 {
			return Block{}, 0
		}
		blank := end == s.lines
		s.bareCR = p[next-1] == '\r'
		s.lines, s.searched = next, next
		if blank {
			break
		}
	}
	n = s.lines
	b = s.block(p[:n])
	s.lines, s.searched, s.bareCR, s.started = 0, 0, false, true
	return b, n
}

// lineEnd finds the end of the line at s.lines, and the beginning of the line after
// it, which is 0 if that cannot be told yet. A blank line that ends in CR waits for
// the byte behind it, which may be the LF of a CRLF, unless the line before it ended
// in a CR alone: such a stream knows no LF, and its event must not be held back.
func (s *SSE) lineEnd(p []byte) (end, next int) {
	i := lineBreak(p[s.searched:])
	if i < 0 {
		s.searched = len(p)
		return 0, 0
	}
	end = s.searched + i
	if p[end] == '\n' {
		return end, end + 1
	}
	switch {
	case end == s.lines && s.bareCR:
		return end, end + 1
	case end+1 == len(p):
		s.searched = end
		return 0, 0
	case p[end+1] == '\n':
		return end, end + 2
	}
	return end, end + 1
}

var (
	byteOrderMark = []byte("\ufeff")
	fieldData     = []byte("data")
	fieldEvent    = []byte("event")
)

// block reads the fields of a whole event.
func (s *SSE) block(raw []byte) Block {
	b := Block{Raw: raw}
	at := 0
	if !s.started && bytes.HasPrefix(raw, byteOrderMark) {
		at = len(byteOrderMark)
	}
	for at < len(raw) {
		end := at + lineBreak(raw[at:])
		name, value := raw[at:end], []byte(nil)
		valueAt := end
		if colon := bytes.IndexByte(name, ':'); colon >= 0 {
			valueAt = at + colon + 1
			if valueAt < end && raw[valueAt] == ' ' {
				valueAt++
			}
			name, value = name[:colon], raw[valueAt:end]
		}
		switch {
		case bytes.Equal(name, fieldData) && !b.HasData:
			b.HasData, b.Data, b.DataAt = true, value, valueAt
		case bytes.Equal(name, fieldData):
			if b.DataAt >= 0 {
				s.joined = append(s.joined[:0], b.Data...)
			}
			s.joined = append(append(s.joined, '\n'), value...)
			b.Data, b.DataAt = s.joined, -1
		case bytes.Equal(name, fieldEvent):
			b.Name = value
		}
		at = end + 1
		if raw[end] == '\r' && at < len(raw) && raw[at] == '\n' {
			at++
		}
	}
	return b
}

// lineBreak finds the first LF or CR, or gives -1.
func lineBreak(p []byte) int {
	lf := bytes.IndexByte(p, '\n')
	if lf < 0 {
		return bytes.IndexByte(p, '\r')
	}
	if cr := bytes.IndexByte(p[:lf], '\r'); cr >= 0 {
		return cr
	}
	return lf
}
