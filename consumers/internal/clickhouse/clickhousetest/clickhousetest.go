// Package clickhousetest gives tests a real ClickHouse: the one that
// TALLYGATE_CLICKHOUSE_URL names, or the embedded engine, started once per test binary.
package clickhousetest

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tallygate/tallygate/consumers/internal/clickhouse"
)

const startTimeout = 60 * time.Second

// base is the server's URL, without a database. Main sets it.
var base string

// Main runs a package's tests with a ClickHouse behind them.
func Main(m *testing.M) {
	var stop func()
	var err error
	base = os.Getenv("TALLYGATE_CLICKHOUSE_URL")
	if base == "" {
		if base, stop, err = startEmbedded(); err != nil {
			fmt.Fprintf(os.Stderr, "cannot start the embedded ClickHouse for the tests: %v\n"+
				"possible solutions: fetch its library with: make engine; or set TALLYGATE_CLICKHOUSE_URL to a server\n", err)
			os.Exit(1)
		}
	}
	code := m.Run()
	if stop != nil {
		stop()
	}
	os.Exit(code)
}

// URL returns the URL of a fresh database, which is dropped at the end of the test
// unless the test failed. The database does not exist yet.
func URL(t testing.TB) string {
	t.Helper()
	var b [6]byte
	_, _ = rand.Read(b[:])
	name := "test_" + hex.EncodeToString(b[:])
	u, err := url.Parse(base)
	if err != nil {
		t.Fatalf("cannot read TALLYGATE_CLICKHOUSE_URL: %v", err)
	}
	u.Path = "/" + name
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("database %s is kept", name)
			return
		}
		u.Path = "/default"
		c, err := clickhouse.Open(u.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Exec(context.Background(), "DROP DATABASE IF EXISTS "+name); err != nil {
			t.Errorf("cannot drop database %s: %v", name, err)
		}
	})
	return u.String()
}

// Migrated returns a client of a fresh database that has all tables.
func Migrated(t testing.TB) *clickhouse.Client {
	t.Helper()
	c, err := clickhouse.Open(URL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	m, err := clickhouse.NewMigrator(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// startEmbedded builds and starts chlocal over an empty folder.
func startEmbedded() (address string, stop func(), err error) {
	dir, err := os.MkdirTemp("", "tallygate-clickhouse-")
	if err != nil {
		return "", nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	_, here, _, _ := runtime.Caller(0)
	deploy := filepath.Join(filepath.Dir(here), "..", "..", "..", "..", "deploy")
	binary := filepath.Join(dir, "chlocal")
	build := exec.Command("go", "build", "-o", binary, "./local/cmd/chlocal")
	build.Dir = deploy
	if out, err := build.CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("cannot build chlocal: %w\n%s", err, out)
	}
	cmd := exec.Command(binary, "-addr", "127.0.0.1:0", "-data", filepath.Join(dir, "data"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var errOut strings.Builder
	cmd.Stderr = &errOut
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	// The signal of Pdeathsig is bound to the thread that starts the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("cannot start chlocal: %w", err)
	}
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	}
	line := make(chan string, 1)
	go func() {
		s := bufio.NewScanner(out)
		if s.Scan() {
			line <- s.Text()
		}
		close(line)
	}()
	select {
	case text := <-line:
		if addr, ok := strings.CutPrefix(text, "listening "); ok {
			return "http://" + addr, stop, nil
		}
		err = fmt.Errorf("chlocal ended or said %q instead of its address: %s", text, errOut.String())
	case <-time.After(startTimeout):
		err = fmt.Errorf("chlocal did not listen within %s", startTimeout)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	return "", nil, err
}
