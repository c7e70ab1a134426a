package health

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestServer(t *testing.T) {
	s, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve()
	defer s.Close(t.Context())
	f := func(path string, status int, body string) {
		t.Helper()
		resp, err := http.Get("http://" + s.Addr() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != status || !strings.Contains(string(got), body) {
			t.Fatalf("unexpected answer for %s; got %d %q; want %d with %q", path, resp.StatusCode, got, status, body)
		}
	}
	f("/healthz", 200, "ok")
	f("/readyz", 200, `{"ready":true}`)
	reasons := []string{"Kafka is away"}
	s.Watch("Kafka", func() []string { return reasons })
	f("/readyz", 503, `{"ready":false,"reasons":["Kafka is away"]}`)
	s.Watch("Kafka", func() []string { return nil })
	f("/readyz", 200, `{"ready":true}`)
	f("/metrics", 200, "process_")
	f("/other", 404, "")

	if _, err := Listen(s.Addr()); err == nil || !strings.Contains(err.Error(), "address already in use; stop the other process or set TALLYGATE_CONSUMERS_ADDR") {
		t.Fatalf("unexpected error for a taken port: %v", err)
	}
}

func TestProbe(t *testing.T) {
	asked := make(chan struct{}, 1)
	p := NewProbe("Kafka", func(context.Context) error {
		select {
		case asked <- struct{}{}:
		default:
		}
		return errors.New("refused")
	})
	if got := p.Reasons(); len(got) != 1 {
		t.Fatalf("unexpected reasons before the first answer; got %q; want one", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	<-asked
	for end := time.Now().Add(5 * time.Second); !strings.Contains(strings.Join(p.Reasons(), ""), "refused"); {
		if time.Now().After(end) {
			t.Fatalf("unexpected reasons; got %q; want the error", p.Reasons())
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-done
}
