package stack

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tallygate/tallygate/deploy/local/internal/kafka"
	"github.com/tallygate/tallygate/deploy/local/internal/process"
)

// fakeVariable makes the test binary act as one of the stack's programs, by the
// name that it is started with. Its value is a file to which stops are written.
const (
	fakeVariable = "STACK_TEST_STOPS"
	dieVariable  = "STACK_TEST_DIES"
)

func TestMain(m *testing.M) {
	if stops := os.Getenv(fakeVariable); stops != "" {
		if err := fake(filepath.Base(os.Args[0]), stops); err != nil {
			process.Fail("fake", err)
		}
		return
	}
	os.Exit(m.Run())
}

// fake answers as far as the stack looks.
func fake(name, stops string) error {
	addr := flag.String("addr", "", "")
	data := flag.String("data", "", "")
	flag.String("lib", "", "")
	flag.Parse()
	switch name {
	case "consumers":
		*addr = os.Getenv("TALLYGATE_CONSUMERS_ADDR")
	case "gateway":
		*addr = os.Getenv("TALLYGATE_ADMIN_ADDR")
	}
	ctx, stop := process.Context()
	defer stop()
	listener, err := process.Listen(*addr, "-addr")
	if err != nil {
		return err
	}
	if name == "kafkalocal" {
		cluster, err := kafka.Start(kafka.Config{Listener: listener, Data: *data, Log: os.Stderr})
		if err != nil {
			return err
		}
		defer cluster.Close()
	} else {
		go func() { _ = http.Serve(listener, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) }()
	}
	if os.Getenv(dieVariable) == name {
		time.AfterFunc(500*time.Millisecond, func() {
			fmt.Fprintln(os.Stderr, "the disk is on fire")
			os.Exit(3)
		})
	}
	<-ctx.Done()
	f, err := os.OpenFile(stops, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintln(f, name)
	return err
}
