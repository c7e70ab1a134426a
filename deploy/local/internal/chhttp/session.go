package chhttp

import (
	"sync"
	"time"

	"github.com/tallygate/tallygate/deploy/local/internal/chdb"
)

// maxSessions bounds the sessions that outlive a request.
const maxSessions = 1000

// sessions are the connections that clients keep under a session_id: their
// temporary tables, database and settings stay. A session serves one request at a
// time and ends when it was idle for its timeout.
type sessions struct {
	lib *chdb.Library

	mu   sync.Mutex
	open map[string]*session
}

type session struct {
	conn  *chdb.Conn
	busy  bool
	timer *time.Timer
}

// acquire returns a connection and what to call when the request is done: a fresh
// one for a request without a session.
func (s *sessions) acquire(q *request) (*chdb.Conn, func(), error) {
	if q.session == "" {
		conn, err := s.lib.Connect()
		if err != nil {
			return nil, nil, err
		}
		return conn, conn.Close, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.open[q.session]
	if e == nil {
		if q.sessionCheck {
			return nil, nil, chdb.NewException(372, "SESSION_NOT_FOUND", "Session %s not found", q.session)
		}
		if len(s.open) >= maxSessions {
			return nil, nil, chdb.NewException(202, "TOO_MANY_SIMULTANEOUS_QUERIES", "Too many sessions: %d are open", maxSessions)
		}
		conn, err := s.lib.Connect()
		if err != nil {
			return nil, nil, err
		}
		e = &session{conn: conn}
		s.open[q.session] = e
	}
	if e.busy {
		return nil, nil, chdb.NewException(373, "SESSION_IS_LOCKED", "Session %s is locked by a concurrent client", q.session)
	}
	e.busy = true
	if e.timer != nil {
		e.timer.Stop()
	}
	return e.conn, func() { s.release(q.session, q.sessionTimeout) }, nil
}

func (s *sessions) release(name string, timeout time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.open[name]
	e.busy = false
	e.timer = time.AfterFunc(timeout, func() { s.expire(name, e) })
}

func (s *sessions) expire(name string, e *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[name] == e && !e.busy {
		delete(s.open, name)
		e.conn.Close()
	}
}

// close ends all sessions. No request may be running.
func (s *sessions) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, e := range s.open {
		if e.timer != nil {
			e.timer.Stop()
		}
		delete(s.open, name)
		e.conn.Close()
	}
}
