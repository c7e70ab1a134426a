// Command gateway is the hot path: applications call it, it decides, calls
// providers, answers and leaves a record.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/tallygate/tallygate/gateway/internal/app"
	"github.com/tallygate/tallygate/schemas/config"
)

// version is set when a release is built.
var version = "dev"

func main() {
	path := flag.String("config", os.Getenv("TALLYGATE_CONFIG"), "configuration `file` (TALLYGATE_CONFIG)")
	check := flag.Bool("check", false, "check the configuration and exit")
	showVersion := flag.Bool("version", false, "print the version and exit")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "Usage: gateway -config FILE [-check]\n\nTallygate's data plane. See docs/config.md for the file.\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if *showVersion {
		fmt.Println(version)
		return
	}
	conf, err := config.Load(*path)
	if err == nil && *check {
		_, err = app.Prepare(conf)
	}
	if err != nil {
		fail(err)
	}
	if *check {
		fmt.Println("the configuration is valid")
		return
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := app.Run(ctx, conf, *path, version, log); err != nil && !errors.Is(err, context.Canceled) {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintf(os.Stderr, "gateway: %s\n", err)
	os.Exit(1)
}
