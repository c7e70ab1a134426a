// Package chhttp is ClickHouse's HTTP interface in front of the engine in this
// process, so that drivers, Grafana and curl use it as they would a server.
//
// Every request has a connection of its own, with its own database and settings;
// a session_id keeps one. Results are complete before the answer begins, so that
// an error always has its status and code; the price is that a result is held in
// memory once.
package chhttp

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/tallygate/tallygate/deploy/local/internal/chdb"
)

// maxQueries bounds the statements that run at once; further ones get
// ClickHouse's TOO_MANY_SIMULTANEOUS_QUERIES. Each occupies a thread.
const maxQueries = 100

// Server answers requests. It is an http.Handler.
type Server struct {
	lib      *chdb.Library
	sessions *sessions
	// slots has an element for each statement that runs.
	slots chan struct{}
	// host is the listener's host, which is allowed in Host and Origin besides loopback.
	host              string
	version, timezone string
}

// New returns a server for the engine. The address is that of the listener.
func New(lib *chdb.Library, address net.Addr) (*Server, error) {
	s := &Server{lib: lib, sessions: &sessions{lib: lib, open: map[string]*session{}}, slots: make(chan struct{}, maxQueries)}
	s.host, _, _ = net.SplitHostPort(address.String())
	conn, err := lib.Connect()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	r, err := conn.Query("SELECT version(), timezone()", "TabSeparated", nil)
	if err != nil {
		return nil, fmt.Errorf("cannot ask the engine for its version: %w", err)
	}
	defer r.Free()
	s.version, s.timezone, _ = strings.Cut(strings.TrimSpace(string(r.Bytes())), "\t")
	return s, nil
}

// Version is the engine's version.
func (s *Server) Version() string { return s.version }

// Close ends the sessions. No request may be running.
func (s *Server) Close() { s.sessions.close() }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.allowedHost(r.Host) || !s.allowedOrigin(r.Header.Get("Origin")) {
		http.Error(w, "This server answers only to its own address; it is not for use from other sites.", http.StatusForbidden)
		return
	}
	h := w.Header()
	h.Set("X-ClickHouse-Server-Display-Name", "tallygate")
	switch r.URL.Path {
	case "/ping", "/replicas_status":
		h.Set("Content-Type", "text/plain; charset=UTF-8")
		fmt.Fprint(w, "Ok.\n")
	case "/", "/query":
		s.serveQuery(w, r)
	default:
		h.Set("Content-Type", "text/plain; charset=UTF-8")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, "There is no handle %s\nUse / or /ping for health checks.\n", r.URL.Path)
	}
}

func (s *Server) serveQuery(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "Use GET or POST.", http.StatusMethodNotAllowed)
		return
	}
	if r.Method != http.MethodPost && !r.URL.Query().Has("query") {
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		fmt.Fprint(w, "Ok.\n")
		return
	}
	q, err := parseRequest(r)
	if err != nil {
		s.refuse(w, err)
		return
	}
	w.Header().Set("X-ClickHouse-Query-Id", q.queryID)
	w.Header().Set("X-ClickHouse-Timezone", s.timezone)
	if err := s.run(w, r, q); err != nil {
		s.refuse(w, err)
	}
}

// refuse writes an error as ClickHouse does. Nothing of the answer may be written yet.
func (s *Server) refuse(w http.ResponseWriter, err error) {
	e := asException(err)
	text := e.Text
	if !strings.Contains(text, "(version ") {
		text += " (version " + s.version + ")"
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Set("X-ClickHouse-Exception-Code", fmt.Sprint(e.Code))
	h.Del("Content-Encoding")
	h.Del("Content-Length")
	w.WriteHeader(httpStatus(e.Code))
	fmt.Fprintln(w, text)
}

// allowedHost tells whether a Host header names this machine. A page of another
// site whose name is made to resolve to loopback is refused by this.
func (s *Server) allowedHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	if strings.EqualFold(name, "localhost") || name == s.host && name != "" {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.Unmap().IsLoopback()
}

func (s *Server) allowedOrigin(origin string) bool {
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && s.allowedHost(u.Host)
}

// authenticate refuses all users but the engine's one.
func (s *Server) authenticate(q *request) error {
	if q.user != "default" || q.password != "" {
		return chdb.NewException(516, "AUTHENTICATION_FAILED",
			"%s: Authentication failed: password is incorrect, or there is no user with such name; the embedded engine has the user default, without a password", q.user)
	}
	return nil
}
