package chhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tallygate/tallygate/deploy/local/internal/chdb"
)

const (
	// headBytes is how much of a body is read to find where an INSERT's data begins.
	headBytes = 256 << 10
	// statementBytes bounds a statement that has no data.
	statementBytes = 16 << 20
	// chunkBytes is how much data is handed to the engine at once.
	chunkBytes = 1 << 20
	// killInterval is how often the statement of a client that went away is looked for.
	killInterval = 50 * time.Millisecond
)

// run executes a request and writes its answer. An error is one that can still
// be answered.
func (s *Server) run(w http.ResponseWriter, r *http.Request, q *request) error {
	if err := s.authenticate(q); err != nil {
		return err
	}
	st, data, err := readStatement(q)
	if err != nil {
		return err
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		return chdb.NewException(202, "TOO_MANY_SIMULTANEOUS_QUERIES", "Too many simultaneous queries. Maximum: %d", maxQueries)
	}
	conn, release, err := s.sessions.acquire(q)
	if err != nil {
		return err
	}
	defer release()
	mark := uuid.NewString()
	if err := prepare(conn, q, mark); err != nil {
		return err
	}
	if !q.commented() {
		defer s.killWhenGone(r.Context(), mark)()
	}
	started := time.Now()
	var result *chdb.Result
	if st.insert {
		result, err = insert(conn, st, q.params, data)
	} else {
		result, err = conn.Query(st.sql, q.format, q.params)
	}
	if err != nil {
		return err
	}
	defer result.Free()
	format := q.format
	if st.format != "" && !st.insert {
		format = st.format
	}
	return s.answer(w, r, q, result, format, time.Since(started))
}

// prepare gives the connection the request's database, settings and tables.
func prepare(conn *chdb.Conn, q *request, mark string) error {
	if q.database != "" {
		if err := conn.Exec("USE " + quote(q.database, '`')); err != nil {
			return err
		}
	}
	for _, t := range q.external {
		if err := t.fill(conn); err != nil {
			return err
		}
	}
	if set := q.set(mark); set != "" {
		return conn.Exec(set)
	}
	return nil
}

// readStatement puts the statement together from the URL and the body, and
// returns what is left of the body as an INSERT's data.
func readStatement(q *request) (*statement, io.Reader, error) {
	if strings.TrimSpace(q.query) != "" {
		return splitQuery(q)
	}
	head, whole, err := readUpTo(q.body, headBytes)
	if err != nil {
		return nil, nil, err
	}
	st, err := parseStatement(head)
	if !whole && (err != nil || !st.insert) {
		var rest []byte
		if rest, whole, err = readUpTo(q.body, statementBytes); err != nil {
			return nil, nil, err
		}
		head = append(head, rest...)
		if st, err = parseStatement(head); !whole && (err != nil || !st.insert) {
			return nil, nil, chdb.NewException(229, "QUERY_IS_TOO_LARGE", "The statement is larger than %d bytes", statementBytes)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	if !st.insert {
		return st, nil, nil
	}
	return st, io.MultiReader(bytes.NewReader(head[st.dataStart:]), q.body), nil
}

// splitQuery is for a statement in the URL: the body continues it, mostly as the
// data of an INSERT.
func splitQuery(q *request) (*statement, io.Reader, error) {
	text := []byte(q.query)
	st, err := parseStatement(text)
	if err != nil {
		return nil, nil, err
	}
	if st.insert {
		return st, io.MultiReader(bytes.NewReader(text[st.dataStart:]), q.body), nil
	}
	rest, whole, err := readUpTo(q.body, statementBytes)
	if err != nil {
		return nil, nil, err
	}
	if !whole {
		return nil, nil, chdb.NewException(229, "QUERY_IS_TOO_LARGE", "The statement is larger than %d bytes", statementBytes)
	}
	if len(rest) == 0 {
		return st, nil, nil
	}
	text = append(append(text, '\n'), rest...)
	if st, err = parseStatement(text); err != nil || !st.insert {
		return st, nil, err
	}
	return st, bytes.NewReader(text[st.dataStart:]), nil
}

// readUpTo reads at most n bytes and tells whether that was all.
func readUpTo(r io.Reader, n int64) (data []byte, whole bool, err error) {
	data, err = io.ReadAll(io.LimitReader(r, n))
	if err != nil {
		return nil, false, chdb.NewException(210, "NETWORK_ERROR", "Cannot read the request's body: %v", err)
	}
	return data, int64(len(data)) < n, nil
}

// insert streams the data into the engine. If the body ends badly, because the
// client went away or its compression is broken, nothing more is committed.
func insert(conn *chdb.Conn, st *statement, params []chdb.Param, data io.Reader) (*chdb.Result, error) {
	stream, err := conn.Insert(st.sql, st.format, params)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	buf := make([]byte, chunkBytes)
	for {
		n, readErr := fill(data, buf)
		if _, err := stream.Write(buf[:n]); err != nil {
			if _, doneErr := stream.Finish(); doneErr != nil {
				err = doneErr
			}
			return nil, err
		}
		if errors.Is(readErr, io.EOF) {
			return stream.Finish()
		}
		if readErr != nil {
			return nil, chdb.NewException(210, "NETWORK_ERROR", "Cannot read the request's body: %v", readErr)
		}
	}
}

// fill reads until the buffer is full or the reader gives an error, which it
// returns as it is: io.EOF is the orderly end.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}

// killWhenGone watches the client while a statement runs. If it goes away, the
// statement is killed by its mark, as a server does. The returned function ends
// the watch.
func (s *Server) killWhenGone(client context.Context, mark string) (stop func()) {
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-done:
			return
		case <-client.Done():
		}
		tick := time.NewTicker(killInterval)
		defer tick.Stop()
		for {
			if conn, err := s.lib.Connect(); err == nil {
				// An error means that the statement has ended by itself.
				_ = conn.Exec(fmt.Sprintf("KILL QUERY WHERE Settings['log_comment'] = %s ASYNC", quote(mark, '\'')))
				conn.Close()
			}
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	return func() { close(done); <-watched }
}
