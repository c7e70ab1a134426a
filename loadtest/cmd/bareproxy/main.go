// Command bareproxy is a reverse proxy that does nothing but forward: the floor
// with which the gateway is compared. It is as fast as a proxy made of fasthttp's
// server and client can reasonably be, and passes streams on chunk by chunk.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/tallygate/tallygate/loadtest/internal/bareproxy"
)

// drainTimeout is how long answers under way may go on after SIGTERM.
const drainTimeout = 5 * time.Second

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bareproxy:", err)
		os.Exit(1)
	}
}

func run() error {
	addr := flag.String("addr", "127.0.0.1:8091", "`address` to listen on")
	upstream := flag.String("upstream", "127.0.0.1:8090", "`address` to which everything is forwarded, host:port")
	connections := flag.Int("connections", 10_000, "most connections to the upstream")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see -help", flag.Arg(0))
	}
	if _, _, err := net.SplitHostPort(*upstream); err != nil {
		return fmt.Errorf("-upstream must be host:port, got %q", *upstream)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("cannot listen on %s: address already in use; stop the other process or use -addr", *addr)
		}
		return fmt.Errorf("cannot listen on %s: %w", *addr, err)
	}
	server := bareproxy.New(*upstream, *connections)
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	slog.Info("ready", "addr", ln.Addr().String())
	select {
	case err := <-done:
		return fmt.Errorf("cannot serve: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := server.ShutdownWithContext(drain); err != nil {
		slog.Warn("stopped with answers under way", "cause", err)
	}
	return nil
}
