// Command stack starts a whole Tallygate on this machine, without Docker or an
// account: `make run`. Everything is set by environment variables, which
// docs/quick-start.md lists; Ctrl-C stops it.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"

	"github.com/tallygate/tallygate/deploy/local/internal/process"
	"github.com/tallygate/tallygate/deploy/local/internal/stack"
)

func main() {
	// The children's lives are tied to this thread's.
	runtime.LockOSThread()
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "stack starts Tallygate on this machine. It has no flags; see docs/quick-start.md for its variables.")
	}
	flag.Parse()
	if flag.NArg() > 0 {
		process.Fail("stack", fmt.Errorf("unexpected argument %q; the stack is set by environment variables, see docs/quick-start.md", flag.Arg(0)))
	}
	settings, err := stack.FromEnvironment()
	if err != nil {
		process.Fail("stack", err)
	}
	ctx, stop := process.Context()
	// A second Ctrl-C ends this process at once, and with it its children.
	go func() { <-ctx.Done(); stop() }()
	if err := stack.Run(ctx, settings, os.Stdout, os.Stderr); err != nil {
		process.Fail("stack", err)
	}
}
