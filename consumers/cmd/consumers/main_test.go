package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate/consumers/internal/clickhouse"
	"github.com/tallygate/tallygate/consumers/internal/clickhouse/clickhousetest"
	"github.com/tallygate/tallygate/consumers/internal/projection/projectiontest"
	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/freeport"
	"github.com/tallygate/tallygate/schemas/topic"
	"github.com/tallygate/tallygate/schemas/topic/kafkatest"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

func TestParse(t *testing.T) {
	f := func(args []string, projections ...string) {
		t.Helper()
		s, err := parse(args)
		if err != nil || !slices.Equal(s.projections, projections) {
			t.Fatalf("unexpected settings for %q; got %v, %v; want %v", args, s.projections, err, projections)
		}
	}
	f([]string{"-config", "x"}, "ledger", "audit", "rollup")
	f([]string{"-config", "x", "-projections", "audit, rollup,audit"}, "audit", "rollup")

	refused := func(args []string, want string) {
		t.Helper()
		if _, err := parse(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("unexpected error for %q; got %v; want one with %q", args, err, want)
		}
	}
	t.Setenv("TALLYGATE_CONFIG", "")
	refused(nil, "use -config or TALLYGATE_CONFIG")
	refused([]string{"-config", "x", "-projections", "alert"}, `unknown projection "alert"; there are ledger, audit, rollup`)
	refused([]string{"-config", "x", "y"}, `unexpected argument "y"`)
}

func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tallygate.yaml")
	f := func(text, want string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := start(t.Context(), []string{"-config", path, "-check"})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Fatalf("unexpected error; got %v; want %q", err, want)
		}
	}
	f("consumers: {batch_rows: 10}\n", "")
	f("consumers: {batch_rows: 0}\n", "tallygate.yaml:1: consumers.batch_rows: must be from 1")
}

// The program starts while Kafka and ClickHouse are away, says so, and is at work
// once both are there.
func TestStartBeforeKafkaAndClickHouse(t *testing.T) {
	kafkaAddr, storeAddr := freeAddr(t), freeAddr(t)
	k := kafkatest.Start(t)
	url := clickhousetest.URL(t)
	cfg := config.Default()
	cfg.Kafka = k.Config
	cfg.Consumers.Listen = freeAddr(t)
	cfg.Consumers.FlushInterval = 20 * time.Millisecond
	cfg.Kafka.Brokers = []string{kafkaAddr}
	cfg.ClickHouse.URL = strings.Replace(url, hostOf(url), storeAddr, 1)
	stop := startProcess(t, cfg)
	ready := func() (int, string) {
		resp, err := http.Get("http://" + cfg.Consumers.Listen + "/readyz")
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		b := make([]byte, 4096)
		n, _ := resp.Body.Read(b)
		return resp.StatusCode, string(b[:n])
	}
	kafkatest.Eventually(t, "not ready, with both reasons", func() bool {
		status, body := ready()
		return status == 503 && strings.Contains(body, "Kafka is away") && strings.Contains(body, "ClickHouse is away")
	})
	stop()

	cfg.Kafka.Brokers, cfg.ClickHouse.URL = k.Config.Brokers, url
	stop = startProcess(t, cfg)
	kafkatest.Eventually(t, "ready", func() bool { status, _ := ready(); return status == 200 })
	w := projectiontest.Random(t, 1, 200)
	for _, rec := range w.Records {
		k.Produce(t, topic.Requests, w.Partition, rec.Bytes)
	}
	db, err := clickhouse.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	kafkatest.Eventually(t, "all in ClickHouse", func() bool {
		var audited, rolled, entries uint64
		err := errors.Join(
			db.QueryRow(t.Context(), "SELECT sum(calls) FROM requests FINAL").Scan(&audited),
			db.QueryRow(t.Context(), "SELECT sum(calls) FROM rollup_minute FINAL").Scan(&rolled),
			db.QueryRow(t.Context(), "SELECT count() FROM ledger_entries FINAL").Scan(&entries))
		return err == nil && audited > 0 && audited == rolled && entries > 0
	})
	k.Read(t, topic.Limits, 1)
	stop()
}

func TestMistakesThatWaitingDoesNotMend(t *testing.T) {
	k := kafkatest.Start(t)
	cfg := config.Default()
	cfg.Kafka = k.Config
	cfg.Kafka.Partitions++
	cfg.ClickHouse.URL = clickhousetest.URL(t)
	cfg.Consumers.Listen = "127.0.0.1:0"
	err := serve(t.Context(), settings{projections: known}, cfg)
	if err == nil || !strings.Contains(err.Error(), "kafka.partitions") {
		t.Fatalf("unexpected error for another number of partitions: %v", err)
	}
}

// startProcess runs the program until stop, which fails the test if it ends with an error.
func startProcess(t *testing.T, cfg *config.Config) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, settings{projections: known}, cfg) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("unexpected error at the end: %v", err)
		}
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := freeport.Addr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

func hostOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}
