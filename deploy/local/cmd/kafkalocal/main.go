// Command kafkalocal is an embedded Kafka broker with its data on disk, for
// development and tests. In production the same clients talk to a Kafka cluster.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/tallygate/tallygate/deploy/local/internal/kafka"
	"github.com/tallygate/tallygate/deploy/local/internal/process"
)

type options struct {
	addr, data string
	sync       bool
}

func main() {
	var o options
	flag.StringVar(&o.addr, "addr", "127.0.0.1:9092", "`address` to serve on; port 0 picks a free one")
	flag.StringVar(&o.data, "data", "./.local/kafka", "data `folder`")
	flag.BoolVar(&o.sync, "sync", false, "write through to the disk before acknowledging")
	flag.Parse()
	ctx, stop := process.Context()
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		process.Fail("kafkalocal", err)
	}
}

// run serves until the context ends. When it listens it writes one line,
// "listening HOST:PORT".
func run(ctx context.Context, o options, out io.Writer) error {
	unlock, err := process.LockFolder(o.data)
	if err != nil {
		return err
	}
	defer unlock()
	listener, err := process.Listen(o.addr, "TALLYGATE_KAFKA_ADDR")
	if err != nil {
		return err
	}
	cluster, err := kafka.Start(kafka.Config{Listener: listener, Data: o.data, Sync: o.sync, Log: os.Stderr})
	if err != nil {
		listener.Close()
		return err
	}
	slog.Info("ready", "addr", listener.Addr(), "data", o.data)
	fmt.Fprintf(out, "listening %s\n", listener.Addr())
	<-ctx.Done()
	cluster.Close()
	slog.Info("stopped")
	return nil
}
