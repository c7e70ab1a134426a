// Command kafkareal runs one node of the real Apache Kafka, with its jars from
// Maven, for tests. It is used as kafkalocal is.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"

	"github.com/tallygate/tallygate/deploy/local/internal/kafkareal"
	"github.com/tallygate/tallygate/deploy/local/internal/process"
)

func main() {
	// The broker's life is tied to this thread's.
	runtime.LockOSThread()
	addr := flag.String("addr", "127.0.0.1:9092", "`address` to serve on; port 0 picks a free one")
	data := flag.String("data", "./.local/kafkareal", "data `folder`")
	fetch := flag.Bool("fetch", false, "only get the jars")
	flag.Parse()
	ctx, stop := process.Context()
	defer stop()
	err := error(nil)
	if *fetch {
		_, err = kafkareal.ClassPath(ctx)
	} else {
		err = run(ctx, *addr, *data, os.Stdout)
	}
	if err != nil {
		process.Fail("kafkareal", err)
	}
}

// run serves until the context ends. When the broker serves it writes one line,
// "listening HOST:PORT".
func run(ctx context.Context, addr, data string, out io.Writer) error {
	unlock, err := process.LockFolder(data)
	if err != nil {
		return err
	}
	defer unlock()
	node, err := kafkareal.Start(ctx, addr, data)
	if err != nil {
		return err
	}
	slog.Info("ready", "addr", node.Addr, "data", data)
	fmt.Fprintf(out, "listening %s\n", node.Addr)
	select {
	case <-node.Exited():
		return node.Err()
	case <-ctx.Done():
	}
	node.Stop()
	slog.Info("stopped")
	return nil
}
