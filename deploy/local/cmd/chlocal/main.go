// Command chlocal serves ClickHouse's HTTP interface with the real engine, as a
// library in this process. It is for development and tests; in production the same
// clients talk to a ClickHouse server.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/tallygate/tallygate/deploy/local/internal/chconfig"
	"github.com/tallygate/tallygate/deploy/local/internal/chdb"
	"github.com/tallygate/tallygate/deploy/local/internal/chhttp"
	"github.com/tallygate/tallygate/deploy/local/internal/engine"
	"github.com/tallygate/tallygate/deploy/local/internal/process"
	"github.com/tallygate/tallygate/deploy/local/internal/sandbox"
)

// drainTimeout is how long running statements may take when the process stops.
const drainTimeout = 10 * time.Second

type options struct{ addr, data, lib, users string }

func main() {
	var o options
	flag.StringVar(&o.addr, "addr", "127.0.0.1:8123", "`address` to serve HTTP on; port 0 picks a free one")
	flag.StringVar(&o.data, "data", "./.local/clickhouse", "data `folder`")
	flag.StringVar(&o.lib, "lib", "", "`path` of libchdb; default: the one that make engine fetches")
	flag.StringVar(&o.users, "users", "", "users.xml to use instead of the built-in `file`")
	flag.Parse()
	ctx, stop := process.Context()
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		process.Fail("chlocal", err)
	}
}

// run serves until the context ends. When it listens it writes one line,
// "listening HOST:PORT".
func run(ctx context.Context, o options, out io.Writer) error {
	if o.lib == "" {
		path, err := engine.Path()
		if err != nil {
			return err
		}
		o.lib = path
	}
	unlock, err := process.LockFolder(o.data)
	if err != nil {
		return err
	}
	defer unlock()
	// The port comes before the engine: of two mistakes this is the likelier and the cheaper to find.
	listener, err := process.Listen(o.addr, "TALLYGATE_CLICKHOUSE_ADDR")
	if err != nil {
		return err
	}
	defer listener.Close()
	configFile, err := chconfig.Write(o.data, o.users)
	if err != nil {
		return err
	}
	if err := sandbox.Restrict(o.data, o.lib); err != nil {
		slog.Warn("only the engine's own grants keep it from other files and hosts", "error", err)
	}
	lib, err := chdb.Open(o.lib, configFile)
	if err != nil {
		return err
	}
	handler, err := chhttp.New(lib, listener.Addr())
	if err != nil {
		return err
	}
	return serve(ctx, lib, handler, listener, out)
}

func serve(ctx context.Context, lib *chdb.Library, handler *chhttp.Server, listener net.Listener, out io.Writer) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	slog.Info("ready", "addr", listener.Addr(), "version", handler.Version())
	fmt.Fprintf(out, "listening %s\n", listener.Addr())
	select {
	case err := <-failed:
		return fmt.Errorf("cannot serve: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := server.Shutdown(drain); errors.Is(err, context.DeadlineExceeded) {
		// What is on the disk is whole after a kill too; a statement that still runs is given up.
		slog.Warn("stopping with statements still running", "waited", drainTimeout)
		return nil
	}
	handler.Close()
	lib.Close()
	slog.Info("stopped")
	return nil
}
