package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/tallygate/tallygate/deploy/local/internal/stacktest"
)

var binary string

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "chlocal-test-")
	if err == nil {
		binary, err = stacktest.Build(folder, "chlocal")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	os.RemoveAll(folder)
	os.Exit(status)
}

// start runs chlocal over a data folder.
func start(t *testing.T, data string) *stacktest.Process {
	t.Helper()
	stacktest.RequireEngine(t)
	return stacktest.Start(t, binary, "-addr", "127.0.0.1:0", "-data", data)
}

// open connects the official driver.
func open(t *testing.T, addr string, change func(*clickhouse.Options)) driver.Conn {
	t.Helper()
	o := &clickhouse.Options{Addr: []string{addr}, Protocol: clickhouse.HTTP}
	if change != nil {
		change(o)
	}
	conn, err := clickhouse.Open(o)
	if err != nil {
		t.Fatalf("cannot open the driver: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

var databases atomic.Int64

// database makes a fresh database and returns a connection to it.
func database(t *testing.T, addr string, change func(*clickhouse.Options)) driver.Conn {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	exec(t, open(t, addr, nil), "CREATE DATABASE "+name)
	return open(t, addr, func(o *clickhouse.Options) {
		o.Auth.Database = name
		if change != nil {
			change(o)
		}
	})
}

func exec(t *testing.T, conn driver.Conn, sql string, args ...any) {
	t.Helper()
	if err := conn.Exec(context.Background(), sql, args...); err != nil {
		t.Fatalf("unexpected error of %q: %v", sql, err)
	}
}

// count returns a query's only value.
func count(t *testing.T, conn driver.Conn, sql string, args ...any) uint64 {
	t.Helper()
	var n uint64
	if err := conn.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("unexpected error of %q: %v", sql, err)
	}
	return n
}

func contains(t *testing.T, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Fatalf("unexpected text %q; want it to contain %q", text, part)
	}
}
