// Command catalogue writes the page of client errors to the file that it is given.
package main

import (
	"fmt"
	"os"

	"github.com/tallygate/tallygate/gateway/internal/apierror"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: catalogue FILE")
		os.Exit(2)
	}
	if err := os.WriteFile(os.Args[1], []byte(apierror.Document()), 0o644); err != nil {
		fmt.Fprintf(os.Stderr, "cannot write the page of errors: %s\n", err)
		os.Exit(1)
	}
}
