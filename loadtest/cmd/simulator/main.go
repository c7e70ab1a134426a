// Command simulator is a stand-in for an LLM provider on loopback. See package
// simulator for what it does and -help for how to tell it.
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
	"strings"
	"syscall"
	"time"

	"github.com/tallygate/tallygate/loadtest/internal/simulator"
)

// drainTimeout is how long answers under way may go on after SIGTERM.
const drainTimeout = 5 * time.Second

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "simulator:", err)
		os.Exit(1)
	}
}

func run() error {
	addr := os.Getenv("TALLYGATE_SIMULATOR_ADDR")
	if addr == "" {
		addr = "127.0.0.1:8090"
	}
	cfg := simulator.Config{Behaviour: simulator.DefaultBehaviour()}
	models := "gpt-5,gpt-5-mini,gpt-5-nano,gpt-4.1,gpt-4.1-mini,gpt-4o,gpt-4o-mini"
	flag.StringVar(&addr, "addr", addr, "`address` to listen on; also TALLYGATE_SIMULATOR_ADDR")
	flag.StringVar(&models, "models", models, "comma-separated `names` that /v1/models lists; chat takes any name")
	flag.Uint64Var(&cfg.Seed, "seed", 1, "where draws of fates and times begin")
	flag.BoolVar(&cfg.AllowUnknown, "allow-unknown", false, "accept request fields that the provider does not document")
	flag.BoolVar(&cfg.Obfuscate, "obfuscate", false, "pad stream events as the provider does, unless the request says otherwise")
	flag.Func("behaviour", "`directives` for every request, for example latency=50ms~400ms,gap=5ms,error=0.01,cut=0.01;\na request adds its own after @ in the model's name, after sim: in user, or in metadata.sim",
		cfg.Behaviour.Apply)
	flag.Func("require-key", "accept only this API `key`; may be repeated", func(k string) error {
		if k == "" {
			return errors.New("it is empty")
		}
		cfg.Keys = append(cfg.Keys, k)
		return nil
	})
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see -help", flag.Arg(0))
	}
	cfg.Models = strings.Split(models, ",")
	return serve(addr, simulator.New(cfg))
}

func serve(addr string, s *simulator.Server) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("cannot listen on %s: address already in use; stop the other process or set TALLYGATE_SIMULATOR_ADDR", addr)
		}
		return fmt.Errorf("cannot listen on %s: %w", addr, err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	slog.Info("ready", "addr", ln.Addr().String())
	select {
	case err := <-done:
		return fmt.Errorf("cannot serve: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := s.Shutdown(drain); err != nil {
		slog.Warn("stopped with answers under way", "cause", err)
	}
	return nil
}
