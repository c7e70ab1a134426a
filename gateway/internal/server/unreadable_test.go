package server

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate/gateway/internal/apierror"
	"github.com/tallygate/tallygate/gateway/internal/pipeline"
	"github.com/tallygate/tallygate/gateway/internal/spool"
	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/price"
)

// rig is a data plane without a policy: what is a request gets 503.
type rig struct {
	t     *testing.T
	addr  string
	spool *spool.Spool
}

func newRig(t *testing.T, change func(*config.Gateway)) *rig {
	t.Helper()
	conf, err := config.Parse("test.yaml", []byte("policy: {}"), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatalf("cannot read the test's configuration: %s", err)
	}
	conf.Gateway.BodyLimitBytes, conf.Gateway.HeaderLimitBytes = 1<<10, 4<<10
	conf.Gateway.ReadTimeout = 300 * time.Millisecond
	change(&conf.Gateway)
	s, err := spool.Open(spool.Options{Dir: t.TempDir(), Role: "gateway", Replica: "test", Version: "test", QuotaBytes: 16 << 20, SegmentBytes: 4 << 20,
		Sync: spool.SyncNever, SyncInterval: time.Second, Partitions: conf.Kafka.Partitions})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	p := pipeline.New(pipeline.Options{Config: conf, Spool: s, Prices: price.Default(), Log: log})
	stop := make(chan struct{})
	go p.Run(stop)
	ln, err := Listen("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	server := New(&conf.Gateway, p, log)
	go func() { _ = server.Serve(Bounded(ln, conf.Gateway.WriteTimeout)) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
		close(stop)
	})
	return &rig{t: t, addr: ln.Addr().String(), spool: s}
}

// send writes pieces with a pause before each but the first, and reads one answer.
func (r *rig) send(pieces ...string) (*http.Response, string) {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	for i, piece := range pieces {
		if i > 0 {
			time.Sleep(200 * time.Millisecond)
		}
		// The server may have said no before the last piece.
		if _, err := io.WriteString(conn, piece); err != nil && i == 0 {
			r.t.Fatalf("cannot send: %s", err)
		}
	}
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, nil)
	if err == nil && resp.StatusCode == http.StatusContinue {
		resp, err = http.ReadResponse(br, nil)
	}
	if err != nil {
		r.t.Fatalf("cannot read an answer to %.60q: %s", pieces[0], err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatalf("cannot read the answer's body: %s", err)
	}
	return resp, string(body)
}

// counted waits until n refusals with a code are in the record.
func (r *rig) counted(code string, n uint64) {
	r.t.Helper()
	var got uint64
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		got = 0
		reader, err := r.spool.NewReader()
		if err != nil {
			r.t.Fatal(err)
		}
		for {
			rec, err := reader.Next()
			if err == io.EOF {
				break
			}
			var e event.Envelope
			if err != nil || e.UnmarshalVT(rec.Bytes) != nil {
				r.t.Fatalf("cannot read the spool: %v", err)
			}
			if c := e.GetDenialsCounted(); c != nil && c.Code == code && e.Org == event.AnonymousOrg {
				got += c.Count
			}
		}
		_ = reader.Close()
		if got == n {
			return
		}
	}
	r.t.Fatalf("unexpected number of counted refusals %s after 5 s; got %d; want %d", code, got, n)
}

const chatHead = "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer tg_live_secret\r\n"

func TestUnreadableRequestsAreAnsweredAndCounted(t *testing.T) {
	r := newRig(t, func(*config.Gateway) {})
	counts := map[*apierror.Error]uint64{}
	f := func(want *apierror.Error, pieces ...string) {
		t.Helper()
		counts[want]++
		resp, body := r.send(pieces...)
		var e struct {
			Error struct {
				Message string  `json:"message"`
				Type    string  `json:"type"`
				Param   *string `json:"param"`
				Code    string  `json:"code"`
			} `json:"error"`
		}
		if err := json.Unmarshal([]byte(body), &e); err != nil || resp.StatusCode != want.Status || e.Error.Code != want.Code || e.Error.Type != want.Type || e.Error.Message == "" {
			t.Fatalf("unexpected answer to %.60q; got %d %s; want %d %s", pieces[0], resp.StatusCode, body, want.Status, want.Code)
		}
		if resp.Header.Get("Content-Type") != "application/json" || resp.Header.Get("X-Request-Id") == "" || !resp.Close {
			t.Fatalf("unexpected headers of the answer to %.60q: %v", pieces[0], resp.Header)
		}
		if strings.Contains(body, "secret") {
			t.Fatalf("the answer repeats what the client sent: %s", body)
		}
	}
	f(apierror.BodyTooLarge, chatHead+"Content-Length: 1025\r\n\r\n"+strings.Repeat("x", 1025))
	f(apierror.BodyTooLarge, chatHead+"Content-Length: 1099511627776\r\n\r\n")
	f(apierror.BodyTooLarge, chatHead+"Expect: 100-continue\r\nContent-Length: 1025\r\n\r\n")
	f(apierror.BodyTooLarge, chatHead+"Transfer-Encoding: chunked\r\n\r\n401\r\n"+strings.Repeat("x", 1025)+"\r\n0\r\n\r\n")
	f(apierror.HeadersTooLarge, chatHead+"X-Secret: "+strings.Repeat("secret", 1000)+"\r\n\r\n")
	f(apierror.HeadersTooLarge, "GET /"+strings.Repeat("secret", 1000)+" HTTP/1.1\r\nHost: x\r\n\r\n")
	f(apierror.RequestTimeout, "POST /v1/chat")
	f(apierror.RequestTimeout, chatHead+"Content-Length: 100\r\n\r\n{")
	f(apierror.RequestTimeout, chatHead+"Content-Length: 3\r\n\r\n", "{", "}", " ")
	f(apierror.BadRequest, "secret\r\n\r\n")
	f(apierror.BadRequest, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03secret\r\n\r\n")
	f(apierror.BadRequest, chatHead+"Content-Length: secret\r\n\r\n")
	f(apierror.BadRequest, chatHead+"Content-Length: -1\r\n\r\n")
	f(apierror.BadRequest, chatHead+"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ")
	f(apierror.BadRequest, chatHead+"Bad Header\r\n\r\n")
	f(apierror.BadRequest, chatHead+"Transfer-Encoding: chunked\r\n\r\nsecret\r\n")
	for e, n := range counts {
		r.counted(e.Code, n)
	}
}

// TestSmuggling checks that a request with two lengths is not read in two ways: what
// comes behind it is no second request.
func TestSmuggling(t *testing.T) {
	r := newRig(t, func(*config.Gateway) {})
	inner := "GET /v1/models HTTP/1.1\r\nHost: inner\r\n\r\n"
	f := func(headers, body string) {
		t.Helper()
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(conn, chatHead+headers+"\r\n"+body+inner); err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(conn)
		if n := strings.Count(string(all), "HTTP/1.1 "); n != 1 {
			t.Fatalf("unexpected number of answers to %q; got %d (%v); want 1: %s", headers, n, err, all)
		}
	}
	f("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n")
	f("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")
	f("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n")
	f("Content-Length: 5\r\nContent-Length: "+strconv.Itoa(5+len(inner))+"\r\n", "0\r\n\r\n")
}

func TestBoundsAreNotForOrdinaryRequests(t *testing.T) {
	r := newRig(t, func(*config.Gateway) {})
	// Slow, but not slower than allowed, and as large as allowed.
	resp, body := r.send(chatHead+"Content-Length: 1024\r\n\r\n", strings.Repeat("x", 1024))
	if resp.StatusCode != 503 || !strings.Contains(body, apierror.NotReady.Code) || resp.Close {
		t.Fatalf("unexpected answer without a policy: %d %s", resp.StatusCode, body)
	}
	r.counted(apierror.NotReady.Code, 1)
}

// TestSilence checks that who connects and goes is no caller that was refused.
func TestSilence(t *testing.T) {
	r := newRig(t, func(*config.Gateway) {})
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	r.send("GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
	r.counted(apierror.NotReady.Code, 1)
	r.counted(apierror.BadRequest.Code, 0)
}
