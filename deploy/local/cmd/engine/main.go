// Command engine fetches the embedded ClickHouse library, if it is not in the
// cache yet, and prints its path.
package main

import (
	"fmt"
	"os"

	"github.com/tallygate/tallygate/deploy/local/internal/engine"
	"github.com/tallygate/tallygate/deploy/local/internal/process"
)

func main() {
	ctx, stop := process.Context()
	defer stop()
	path, err := engine.Fetch(ctx, os.Stderr)
	if err != nil {
		process.Fail("engine", err)
	}
	fmt.Println(path)
}
