// Package health serves /healthz, /readyz and /metrics.
package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Server answers on the consumers' address.
type Server struct {
	listener net.Listener
	http     *http.Server

	mu      sync.Mutex
	sources map[string]func() []string
}

// Listen takes the address. It is not served before Serve.
func Listen(addr string) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("cannot listen on %s: address already in use; stop the other process or set TALLYGATE_CONSUMERS_ADDR", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w; set TALLYGATE_CONSUMERS_ADDR", addr, err)
	}
	s := &Server{listener: l, sources: map[string]func() []string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		metrics.WritePrometheus(w, true)
	})
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	return s, nil
}

// Addr is where it listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Watch adds something that must be ready: reasons returns why it is not, or nothing.
// A second one of the same name replaces the first.
func (s *Server) Watch(name string, reasons func() []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sources[name] = reasons
}

// Reasons returns why the process is not ready, or nothing.
func (s *Server) Reasons() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, reasons := range s.sources {
		out = append(out, reasons()...)
	}
	slices.Sort(out)
	return out
}

// Serve answers until Close.
func (s *Server) Serve() { _ = s.http.Serve(s.listener) }

// Close ends all connections.
func (s *Server) Close(ctx context.Context) { _ = s.http.Shutdown(ctx) }

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	reasons := s.Reasons()
	w.Header().Set("Content-Type", "application/json")
	if len(reasons) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(struct {
		Ready   bool     `json:"ready"`
		Reasons []string `json:"reasons,omitempty"`
	}{len(reasons) == 0, reasons})
}
