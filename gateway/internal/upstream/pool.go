// Package upstream is the way to providers: connection pools, deadlines and the
// guarded dialer. It speaks HTTP/1.1 with fasthttp's codecs over connections of its
// own, so that a call can be aborted from outside at any moment, a stream read as
// it comes, and a request never be sent twice by accident.
package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tallygate/tallygate/gateway/internal/provider"
)

// Options bound calls.
type Options struct {
	// ConnectTimeout is for TCP and TLS together.
	ConnectTimeout time.Duration
	// FirstByteTimeout is from the start of sending to the first byte of the answer.
	FirstByteTimeout time.Duration
	// ChunkTimeout is the longest silence within an answer.
	ChunkTimeout time.Duration
	// TotalTimeout is for the whole call.
	TotalTimeout time.Duration
	// ConnectionLimit is the most open connections; beyond it Do returns ErrSaturated.
	ConnectionLimit int
	// AllowPrivate lets addresses be private or loopback ones.
	AllowPrivate bool
	// IdleTimeout is how long an idle connection is kept.
	IdleTimeout time.Duration
	// RootCAs are those that providers' certificates must come from; nil: the system's.
	RootCAs *x509.CertPool
}

// shards spreads idle connections, so that calls do not meet at one lock.
const shards = 16

// Pool holds the connections to one provider. It is safe for concurrent use.
type Pool struct {
	opts   Options
	addr   string
	dialer *net.Dialer
	// tls is nil for http.
	tls  *tls.Config
	open atomic.Int64
	idle [shards]shard
	// closed makes connections that come back be closed.
	closed atomic.Bool
}

type shard struct {
	n     atomic.Int32
	mu    sync.Mutex
	conns []*conn
	_     [32]byte
}

// New returns a pool for the scheme, host and port of a base URL. It does not connect.
func New(baseURL string, o Options) (*Pool, error) {
	u, err := url.Parse(baseURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("the base URL must be an http or https URL with a host")
	}
	p := &Pool{opts: o, dialer: newDialer(o.ConnectTimeout, o.AllowPrivate)}
	port := u.Port()
	if u.Scheme == "https" {
		p.tls = &tls.Config{
			ServerName: u.Hostname(), NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs,
			ClientSessionCache: tls.NewLRUClientSessionCache(64),
		}
		if port == "" {
			port = "443"
		}
	} else if port == "" {
		port = "80"
	}
	p.addr = net.JoinHostPort(u.Hostname(), port)
	return p, nil
}

// Open returns the number of open connections.
func (p *Pool) Open() int64 { return p.open.Load() }

// Close closes the idle connections; those in use are closed as they come back.
func (p *Pool) Close() {
	p.closed.Store(true)
	for i := range p.idle {
		s := &p.idle[i]
		s.mu.Lock()
		conns := s.conns
		s.conns = nil
		s.n.Store(0)
		s.mu.Unlock()
		for _, c := range conns {
			p.discard(c)
		}
	}
}

// get returns an idle connection that is open, or a new one.
func (p *Pool) get(call *Call, now time.Time, fresh bool) (c *conn, reused bool, err error) {
	start := rand.Uint32()
	for i := range uint32(shards) {
		s := &p.idle[(start+i)%shards]
		for !fresh && s.n.Load() > 0 {
			if c := s.pop(); c == nil {
				break
			} else if c.usable(now, p.opts.IdleTimeout) {
				return c, true, nil
			} else {
				p.discard(c)
			}
		}
	}
	if p.open.Add(1) > int64(p.opts.ConnectionLimit) {
		p.open.Add(-1)
		return nil, false, ErrSaturated
	}
	c, err = p.dial(call)
	if err != nil {
		p.open.Add(-1)
		return nil, false, err
	}
	return c, false, nil
}

func (p *Pool) dial(call *Call) (*conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), p.opts.ConnectTimeout)
	defer cancel()
	if !call.dialing(cancel) {
		return nil, ErrAborted
	}
	defer call.dialing(nil)
	tcp, err := p.dialer.DialContext(ctx, "tcp", p.addr)
	if err != nil {
		return nil, &Error{Class: provider.ClassConnect, Err: err}
	}
	if p.tls == nil {
		return newConn(tcp, tcp), nil
	}
	t := tls.Client(tcp, p.tls)
	if err := t.HandshakeContext(ctx); err != nil {
		_ = tcp.Close()
		return nil, &Error{Class: provider.ClassConnect, Err: err}
	}
	return newConn(t, tcp), nil
}

// put gives back a connection on which nothing is under way.
func (p *Pool) put(c *conn, now time.Time) {
	if p.closed.Load() {
		p.discard(c)
		return
	}
	c.idleSince = now
	s := &p.idle[rand.Uint32()%shards]
	if old := s.push(c, now.Add(-p.opts.IdleTimeout)); old != nil {
		p.discard(old)
	}
	if p.closed.Load() {
		// Close may have been there before the connection was.
		p.Close()
	}
}

// discard closes a connection. TLS's goodbye is left out: it could wait for a
// provider that reads nothing more.
func (p *Pool) discard(c *conn) {
	_ = c.tcp.Close()
	p.open.Add(-1)
}

func (s *shard) pop() *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.conns)
	if n == 0 {
		return nil
	}
	c := s.conns[n-1]
	s.conns[n-1] = nil
	s.conns = s.conns[:n-1]
	s.n.Store(int32(n - 1))
	return c
}

// push adds a connection and returns the oldest one if it is idle since before.
func (s *shard) push(c *conn, before time.Time) (old *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) > 0 && s.conns[0].idleSince.Before(before) {
		old = s.conns[0]
		s.conns = append(s.conns[:0], s.conns[1:]...)
	}
	s.conns = append(s.conns, c)
	s.n.Store(int32(len(s.conns)))
	return old
}
