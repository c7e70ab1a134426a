package pipeline_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
	"google.golang.org/protobuf/proto"

	"github.com/tallygate/tallygate/schemas/event"
)

// TestRecordsAreProtobufWhateverIsSent reads records with the strict library: a text
// that is not UTF-8 would make the whole record unreadable to it and to other languages.
func TestRecordsAreProtobufWhateverIsSent(t *testing.T) {
	r := newRig(t, "")
	r.provider = func(ctx *fasthttp.RequestCtx) {
		ctx.Response.Header.Set("X-Request-Id", "req\xff")
		ctx.SetContentType("application/json")
		ctx.SetBodyString("{\"choices\":[{\"finish_reason\":\"\xc3\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}")
	}
	send := func(path, body string) {
		t.Helper()
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		must(t, err)
		defer conn.Close()
		method := "GET"
		if body != "" {
			method = "POST"
		}
		_, err = io.WriteString(conn, method+" "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUser-Agent: agent \xff\xfe\r\nAuthorization: Bearer "+r.key+
			"\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body)
		must(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		must(t, err)
		_ = resp.Body.Close()
	}
	// Each is cut in the middle of a character.
	user := strings.Repeat("é", 63) + "a" + strings.Repeat("é", 20)
	send("/v1/chat/completions", strings.Replace(hello, "{", `{"user":"`+user+`",`, 1))
	send("/v1/chat/completions", strings.Replace(hello, model, "a"+strings.Repeat("é", 200), 1))
	send("/v1/models/%ff%c3", "")
	r.records(3)
	reader, err := r.spool.NewReader()
	must(t, err)
	defer reader.Close()
	for n := 0; ; n++ {
		rec, err := reader.Next()
		if err == io.EOF {
			break
		}
		must(t, err)
		var e event.Envelope
		if err := proto.Unmarshal(rec.Bytes, &e); err != nil {
			t.Fatalf("cannot read record %d: %s", n, err)
		}
		if c := e.GetCompleted(); c != nil && (c.Facts.EndUser != strings.Repeat("é", 63)+"a" || !strings.HasPrefix(c.Facts.UserAgent, "agent ")) {
			t.Fatalf("unexpected texts in the record: %v", c.Facts)
		}
	}
}
