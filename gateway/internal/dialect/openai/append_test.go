package openai

import (
	"encoding/json"
	"testing"

	"github.com/tallygate/tallygate/gateway/internal/apierror"
	"github.com/tallygate/tallygate/gateway/internal/llm"
)

func TestAppendError(t *testing.T) {
	f := func(got []byte, want string) {
		t.Helper()
		if string(got) != want {
			t.Fatalf("unexpected answer\ngot  %s\nwant %s", got, want)
		}
	}
	f(AppendError(nil, apierror.BadRequest, "No \"n\".", "n", ""),
		`{"error":{"message":"No \"n\".","type":"invalid_request_error","param":"n","code":"invalid_request"}}`)
	f(AppendError([]byte("> "), apierror.BudgetSpent, "Spent.", "", "budget-1"),
		`> {"error":{"message":"Spent.","type":"insufficient_quota","param":null,"code":"insufficient_quota","rule":"budget-1"}}`)
	f(AppendError(nil, apierror.Draining, "", "", ""),
		`{"error":{"message":"The gateway is shutting down. Try again: another replica will answer.","type":"server_error","param":null,"code":"draining"}}`)
	f(AppendStreamError(nil, apierror.UpstreamFailed, "Cut\nshort."),
		"data: "+`{"error":{"message":"Cut\nshort.","type":"server_error","param":null,"code":"upstream_error"}}`+"\n\n")
	f(AppendDone(nil), "data: [DONE]\n\n")
}

func TestAppendModels(t *testing.T) {
	got := AppendModels(nil, []string{"gpt-5", `odd"name`}, 1700000000)
	var list struct {
		Object string
		Data   []struct {
			ID, Object string
			OwnedBy    string `json:"owned_by"`
			Created    int64
		}
	}
	if err := json.Unmarshal(got, &list); err != nil {
		t.Fatalf("cannot read %s: %s", got, err)
	}
	if list.Object != "list" || len(list.Data) != 2 || list.Data[1].ID != `odd"name` || list.Data[0].Object != "model" ||
		list.Data[0].Created != 1700000000 || list.Data[0].OwnedBy != "tallygate" {
		t.Fatalf("unexpected list: %s", got)
	}
	if got := string(AppendModels(nil, nil, 0)); got != `{"object":"list","data":[]}` {
		t.Fatalf("unexpected empty list: %s", got)
	}
}

func TestAppendEvent(t *testing.T) {
	raw := "data: {\"choices\":[],\"usage\":null}\n\n"
	ev := llm.Event{Raw: []byte(raw), UsageAt: llm.Span{Start: 19, End: 32}}
	if got, want := string(AppendEvent(nil, &ev, &llm.Request{})), "data: {\"choices\":[]}\n\n"; got != want {
		t.Fatalf("unexpected event; got %q; want %q", got, want)
	}
	if got := string(AppendEvent(nil, &ev, &llm.Request{IncludeUsage: true})); got != raw {
		t.Fatalf("unexpected event with usage; got %q; want %q", got, raw)
	}
	ev = llm.Event{Raw: []byte(": keep-alive\n\n")}
	if got := string(AppendEvent(nil, &ev, &llm.Request{})); got != ": keep-alive\n\n" {
		t.Fatalf("unexpected comment; got %q", got)
	}
	ev = llm.Event{Kind: llm.EventUsage, Raw: []byte("data: {}\n\n")}
	if got := AppendEvent(nil, &ev, &llm.Request{}); len(got) != 0 {
		t.Fatalf("unexpected usage chunk; got %q", got)
	}
}
