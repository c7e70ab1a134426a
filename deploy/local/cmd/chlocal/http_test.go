package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/tallygate/tallygate/deploy/local/internal/stacktest"
)

// call sends a request and returns the answer with its body, not decoded.
func call(t *testing.T, method, address, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	client := http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatalf("cannot call %s: %v", address, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("cannot read the answer of %s: %v", address, err)
	}
	return answer, string(text)
}

func query(parameters ...string) string {
	v := url.Values{}
	for i := 0; i < len(parameters); i += 2 {
		v.Set(parameters[i], parameters[i+1])
	}
	return "/?" + v.Encode()
}

func TestInterface(t *testing.T) {
	base := "http://" + start(t, t.TempDir()).Addr
	f := func(method, path, body, want string, headers ...string) {
		t.Helper()
		answer, got := call(t, method, base+path, body, headers...)
		if answer.StatusCode != http.StatusOK || got != want {
			t.Fatalf("unexpected answer of %s %s %q; got %s %q; want %q", method, path, body, answer.Status, got, want)
		}
	}
	const get, post = http.MethodGet, http.MethodPost
	f(get, "/ping", "", "Ok.\n")
	f(get, "/replicas_status", "", "Ok.\n")
	f(get, "/", "", "Ok.\n")

	// The statement is in the URL, in the body, or in both.
	f(get, query("query", "SELECT 1"), "", "1\n")
	f(post, "/", "SELECT 1, 'a;b' -- ;\n;", "1\ta;b\n")
	f(post, query("query", "SELECT 1 +"), "2", "3\n")
	f(post, query("query", "SELECT 1 FORMAT JSONEachRow"), "", "{\"1\":1}\n")
	f(post, query("default_format", "CSV"), "SELECT 'a', 2", "\"a\",2\n")
	f(post, "/", "SELECT 'a', 2", "\"a\",2\n", "X-ClickHouse-Format", "CSV")
	f(post, query("default_format", "CSV"), "SELECT format('{}', 1) AS format", "\"1\"\n")

	// Databases, parameters and settings are of one request.
	f(post, query("database", "system"), "SELECT currentDatabase(), count() > 0 FROM one", "system\t1\n")
	f(post, "/", "SELECT currentDatabase()", "system\n", "X-ClickHouse-Database", "system")
	f(post, "/", "SELECT currentDatabase()", "default\n")
	f(post, query("param_x", "a'b\\tc", "param_n", "7"), "SELECT {x:String}, {n:UInt8}", "a\\'b\\tc\t7\n")
	f(post, query("max_threads", "3", "log_comment", "it's"), "SELECT getSetting('max_threads'), getSetting('log_comment')", "3\tit\\'s\n")
	f(post, query("output_format_json_quote_64bit_integers", "1"), "SELECT toUInt64(1) AS a FORMAT JSONEachRow", "{\"a\":\"1\"}\n")
	f(post, "/", "SELECT count() FROM system.settings WHERE name = 'max_threads' AND changed", "0\n")

	// Data of inserts: in the body, inline, and behind the line of FORMAT.
	f(post, "/", "CREATE TABLE t (a UInt32, b String) ENGINE = MergeTree ORDER BY a", "")
	f(post, query("query", "INSERT INTO t (a, b) FORMAT TSV"), "1\tx\n2\ty\n", "")
	f(post, query("query", "INSERT INTO t SETTINGS async_insert = 0 FORMAT JSONEachRow"), `{"a":3,"b":"z"}`, "")
	f(post, "/", "INSERT INTO t VALUES (4, 'VALUES; FORMAT'), (5, '')", "")
	f(post, "/", "INSERT INTO t (a, b) FORMAT CSV\n6,\"q;\"\n", "")
	f(post, query("query", "INSERT INTO t VALUES"), "(7, 'u')", "")
	f(post, query("query", "INSERT INTO t VALUES (8, 'both'),"), "(9, 'parts')", "")
	f(post, query("param_v", "10"), "INSERT INTO t SELECT {v:UInt32}, 'param'", "")
	f(post, "/", "SELECT count(), sum(a) FROM t", "10\t55\n")
	f(post, "/", "SELECT b FROM t WHERE a = 4", "VALUES; FORMAT\n")
	f(post, "/", "TRUNCATE TABLE t", "")
	f(post, "/", "INSERT INTO t FORMAT TSV\n"+strings.Repeat("1\tsome text of a row\n", 100_000), "")
	f(post, "/", "SELECT count() FROM t", "100000\n")
}

func TestHeaders(t *testing.T) {
	base := "http://" + start(t, t.TempDir()).Addr
	answer, body := call(t, http.MethodPost, base+query("query_id", "mine"), "SELECT number FROM numbers(3) FORMAT JSON")
	for name, want := range map[string]string{
		"X-ClickHouse-Query-Id": "mine", "X-ClickHouse-Format": "JSON", "Content-Type": "application/json; charset=UTF-8",
		"X-ClickHouse-Server-Display-Name": "tallygate", "Content-Length": fmt.Sprint(len(body)),
	} {
		if got := answer.Header.Get(name); got != want {
			t.Fatalf("unexpected %s; got %q; want %q", name, got, want)
		}
	}
	contains(t, answer.Header.Get("X-ClickHouse-Summary"), `"read_rows":"3"`)
	contains(t, answer.Header.Get("X-ClickHouse-Timezone"), "UTC")
}

func TestErrors(t *testing.T) {
	base := "http://" + start(t, t.TempDir()).Addr
	f := func(method, path, body string, status, code int, part string, headers ...string) {
		t.Helper()
		answer, text := call(t, method, base+path, body, headers...)
		if answer.StatusCode != status || answer.Header.Get("X-ClickHouse-Exception-Code") != fmt.Sprint(code) {
			t.Fatalf("unexpected answer of %s %s %q; got %s %q; want status %d, code %d", method, path, body, answer.Status, text, status, code)
		}
		contains(t, text, fmt.Sprintf("Code: %d. DB::Exception: ", code))
		contains(t, text, part)
		contains(t, text, "(version ")
	}
	const get, post = http.MethodGet, http.MethodPost
	f(post, "/", "", 400, 62, "empty query")
	f(post, "/", "SELECT * FROM nowhere", 404, 60, "UNKNOWN_TABLE")
	f(post, query("database", "nowhere"), "SELECT 1", 404, 81, "UNKNOWN_DATABASE")
	f(post, query("no_such_setting", "1"), "SELECT 1", 404, 115, "UNKNOWN_SETTING")
	f(post, query("a b", "1"), "SELECT 1", 404, 115, "UNKNOWN_SETTING")
	f(post, query("max_threads", "x"), "SELECT 1", 400, 27, "")
	f(get, query("query", "CREATE TABLE t (a UInt8) ENGINE = Memory"), "", 500, 164, "readonly")
	f(post, query("readonly", "1"), "CREATE TABLE t (a UInt8) ENGINE = Memory", 500, 164, "readonly")
	f(post, "/", "SELECT 1", 403, 516, "AUTHENTICATION_FAILED", "X-ClickHouse-User", "mallory")
	f(post, "/", "SELECT 1", 403, 516, "AUTHENTICATION_FAILED", "Authorization", "Basic ZGVmYXVsdDp4")
	f(post, query("user", "default", "password", "x"), "SELECT 1", 403, 516, "AUTHENTICATION_FAILED")
	f(post, query("session_id", "s", "session_check", "1"), "SELECT 1", 500, 372, "SESSION_NOT_FOUND")
	f(post, "/", "SELECT 1", 501, 48, "Unknown compression method", "Content-Encoding", "rot13")
	f(post, query("decompress", "1"), "SELECT 1, not compressed at all", 500, 210, "Cannot read the request's body")
	f(post, query("query", "INSERT INTO FUNCTION null('a UInt8') FORMAT TSV"), "x\n", 400, 27, "")
}

// A page of another site in a developer's browser must not reach the engine.
func TestForeignSitesAreRefused(t *testing.T) {
	p := start(t, t.TempDir())
	f := func(want int, headers ...string) {
		t.Helper()
		if answer, text := call(t, http.MethodPost, "http://"+p.Addr+"/", "SELECT 1", headers...); answer.StatusCode != want {
			t.Fatalf("unexpected answer with %q; got %s %q; want %d", headers, answer.Status, text, want)
		}
	}
	_, port, err := net.SplitHostPort(p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	f(403, "Host", "rebound.example:"+port)
	f(403, "Origin", "https://evil.example")
	f(403, "Origin", "null")
	f(200, "Host", "localhost:"+port)
	f(200, "Host", "[::1]:"+port)
	f(200, "Origin", "http://localhost:3000")
}

func TestCompression(t *testing.T) {
	base := "http://" + start(t, t.TempDir()).Addr
	const sql = "SELECT toString(number) FROM numbers(100000) FORMAT TSV"
	_, want := call(t, http.MethodPost, base+"/", sql)
	for encoding, decode := range map[string]func(io.Reader) (io.Reader, error){
		"gzip": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"zstd": func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
		"lz4":  func(r io.Reader) (io.Reader, error) { return lz4.NewReader(r), nil },
	} {
		answer, body := call(t, http.MethodPost, base+"/", sql, "Accept-Encoding", "identity;q=0.1, "+encoding)
		if got := answer.Header.Get("Content-Encoding"); got != encoding {
			t.Fatalf("unexpected encoding; got %q; want %q", got, encoding)
		}
		r, err := decode(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil || string(text) != want {
			t.Fatalf("unexpected text in %s; %d bytes, %v; want %d", encoding, len(text), err, len(want))
		}
	}
	answer, _ := call(t, http.MethodPost, base+query("enable_http_compression", "0"), sql, "Accept-Encoding", "gzip")
	if got := answer.Header.Get("Content-Encoding"); got != "" {
		t.Fatalf("unexpected encoding %q with enable_http_compression=0", got)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	fmt.Fprint(w, "SELECT 'packed'")
	w.Close()
	if _, text := call(t, http.MethodPost, base+"/", packed.String(), "Content-Encoding", "gzip"); text != "packed\n" {
		t.Fatalf("unexpected answer to a packed statement: %q", text)
	}
}

func TestSessions(t *testing.T) {
	base := "http://" + start(t, t.TempDir()).Addr
	in := func(session string) string { return base + query("session_id", session, "session_timeout", "1") }
	call(t, http.MethodPost, in("a"), "CREATE TEMPORARY TABLE mine (a UInt8)")
	call(t, http.MethodPost, in("a"), "INSERT INTO mine VALUES (7)")
	if _, text := call(t, http.MethodPost, in("a"), "SELECT a FROM mine"); text != "7\n" {
		t.Fatalf("unexpected answer in the session: %q", text)
	}
	if answer, _ := call(t, http.MethodPost, in("b"), "SELECT a FROM mine"); answer.StatusCode != http.StatusNotFound {
		t.Fatalf("unexpected status in another session: %s", answer.Status)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The probe below may hold the session just when this arrives.
		for locked := true; locked; {
			answer, _ := call(t, http.MethodPost, in("a"), "SELECT sleep(3)")
			locked = answer.Header.Get("X-ClickHouse-Exception-Code") == "373"
		}
	}()
	for locked := false; !locked; {
		select {
		case <-done:
			t.Fatal("a session took a second statement while one ran")
		default:
			answer, _ := call(t, http.MethodPost, in("a"), "SELECT 1")
			locked = answer.Header.Get("X-ClickHouse-Exception-Code") == "373"
		}
	}
	<-done
	time.Sleep(1500 * time.Millisecond)
	if answer, _ := call(t, http.MethodPost, in("a"), "SELECT a FROM mine"); answer.StatusCode != http.StatusNotFound {
		t.Fatalf("unexpected status after the session's end: %s", answer.Status)
	}
}

func TestManyClientsAtOnce(t *testing.T) {
	base := "http://" + start(t, t.TempDir()).Addr
	call(t, http.MethodPost, base+"/", "CREATE TABLE t (c UInt32, n UInt32) ENGINE = MergeTree ORDER BY (c, n)")
	const clients, each = 16, 20
	var wait sync.WaitGroup
	for c := range clients {
		wait.Go(func() {
			for n := range each {
				answer, text := call(t, http.MethodPost, base+query("max_threads", fmt.Sprint(1+c%4)), fmt.Sprintf("INSERT INTO t VALUES (%d, %d)", c, n))
				if answer.StatusCode != http.StatusOK {
					t.Errorf("client %d: %s %s", c, answer.Status, text)
					return
				}
				if _, text := call(t, http.MethodPost, base+"/", fmt.Sprintf("SELECT count() FROM t WHERE c = %d", c)); text != fmt.Sprintf("%d\n", n+1) {
					t.Errorf("client %d sees %q after %d inserts", c, text, n+1)
					return
				}
			}
		})
	}
	wait.Wait()
	if _, text := call(t, http.MethodPost, base+"/", "SELECT count() FROM t"); text != fmt.Sprintf("%d\n", clients*each) {
		t.Fatalf("unexpected count %q", text)
	}
}

// An insert whose client hangs up midway leaves nothing behind.
func TestCutInsertIsDropped(t *testing.T) {
	p := start(t, t.TempDir())
	base := "http://" + p.Addr
	call(t, http.MethodPost, base+"/", "CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a")
	conn, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /?query=INSERT+INTO+t+FORMAT+TSV HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000\r\n\r\n1\n2\n3\n", p.Addr)
	time.Sleep(300 * time.Millisecond)
	conn.Close()
	time.Sleep(300 * time.Millisecond)
	if _, text := call(t, http.MethodPost, base+"/", "SELECT count() FROM t"); text != "0\n" {
		t.Fatalf("unexpected count after a cut insert: %q", text)
	}
}

func TestKilledEngineLosesNothing(t *testing.T) {
	data := t.TempDir()
	rows := 0
	for round := range 3 {
		p := start(t, data)
		base := "http://" + p.Addr
		call(t, http.MethodPost, base+"/", "CREATE TABLE IF NOT EXISTS t (a UInt32) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100")
		// What was sent before the kill is sent again, as a sink does that saw no answer.
		for n := max(0, round*10-1); n < round*10+10; n++ {
			path := query("insert_deduplication_token", fmt.Sprint(n), "query", "INSERT INTO t FORMAT TSV")
			if answer, text := call(t, http.MethodPost, base+path, strings.Repeat(fmt.Sprintf("%d\n", n), 100)); answer.StatusCode != http.StatusOK {
				t.Fatalf("cannot insert: %s", text)
			}
		}
		rows += 1000
		p.Kill()
	}
	p := start(t, data)
	if _, text := call(t, http.MethodPost, "http://"+p.Addr+"/", "SELECT count(), uniqExact(a) FROM t"); text != fmt.Sprintf("%d\t%d\n", rows, rows/100) {
		t.Fatalf("unexpected rows after three kills: %q; want %d", text, rows)
	}
	if status := p.Stop(t); status != 0 {
		t.Fatalf("unexpected status after SIGTERM; got %d; want 0: %s", status, p.Stderr())
	}
}

func TestStartFails(t *testing.T) {
	data := t.TempDir()
	p := start(t, data)
	f := func(want string, args ...string) {
		t.Helper()
		_, err := stacktest.Run(t, binary, args...)
		if err == nil {
			t.Fatalf("unexpected start with %q", args)
		}
		contains(t, err.Error(), "status 1")
		contains(t, err.Error(), want)
	}
	f("address already in use; stop the other process or set TALLYGATE_CLICKHOUSE_ADDR", "-addr", p.Addr, "-data", t.TempDir())
	f("in use by process", "-addr", "127.0.0.1:0", "-data", data)
	f("fetch it with: make engine", "-addr", "127.0.0.1:0", "-data", t.TempDir(), "-lib", "/nowhere/libchdb.so")
	f("cannot load the ClickHouse library", "-addr", "127.0.0.1:0", "-data", t.TempDir(), "-lib", "/etc/hostname")
	f("cannot read the users", "-addr", "127.0.0.1:0", "-data", t.TempDir(), "-users", "/nowhere/users.xml")
}
