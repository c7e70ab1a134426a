//go:build system

package system

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// eventually waits until check returns nil.
func eventually(t *testing.T, within time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not so within %s: %s", within, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   string
}

// fault is the part of an error answer that clients act on.
type fault struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

// code returns the error's code, or "".
func (a answer) code() string {
	f, err := a.fault()
	if err != nil || f.Code == nil {
		return ""
	}
	return *f.Code
}

// fault reads an error in the OpenAI dialect's shape: all four fields are there.
func (a answer) fault() (fault, error) {
	var fields struct {
		Error map[string]json.RawMessage `json:"error"`
	}
	var f struct {
		Error fault `json:"error"`
	}
	if err := json.Unmarshal([]byte(a.body), &fields); err != nil {
		return fault{}, fmt.Errorf("the error is not JSON: %w: %.200q", err, a.body)
	}
	for _, name := range []string{"message", "type", "param", "code"} {
		if _, ok := fields.Error[name]; !ok {
			return fault{}, fmt.Errorf("the error has no field %q: %.200q", name, a.body)
		}
	}
	if err := json.Unmarshal([]byte(a.body), &f); err != nil {
		return fault{}, fmt.Errorf("the error has a wrong shape: %w: %.200q", err, a.body)
	}
	if f.Error.Message == "" || f.Error.Type == "" {
		return fault{}, fmt.Errorf("the error has no message or no type: %.200q", a.body)
	}
	return f.Error, nil
}

// httpClient is for calls that come to an end.
var httpClient = &http.Client{
	Timeout:   30 * time.Second,
	Transport: &http.Transport{MaxIdleConnsPerHost: 256, MaxConnsPerHost: 256, IdleConnTimeout: 10 * time.Second},
}

// request sends one request; headers are pairs. An empty key sends no credentials.
func (g *gateway) request(method, path, key, body string, headers ...string) (answer, error) {
	req, err := http.NewRequest(method, g.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(text)}, err
}

// chat asks for a completion with a key by its name, and simulator directives.
func (g *gateway) chat(keyName, model, directives string, headers ...string) answer {
	g.stack.t.Helper()
	a, err := g.request(http.MethodPost, "/v1/chat/completions", g.stack.keys[keyName], chatBody(model, directives), headers...)
	if err != nil {
		g.stack.t.Fatalf("the call to %s failed: %s\n%s", g.name, err, g.tail())
	}
	return a
}

// chatBody is a small valid request. Directives tell the simulator what to do; more
// is put in as it is.
func chatBody(model, directives string, more ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"model":%q,"messages":[{"role":"user","content":"Name three rivers."}]`, model)
	if directives != "" {
		fmt.Fprintf(&b, `,"user":%q`, "sim:"+directives)
	}
	for _, m := range more {
		b.WriteString("," + m)
	}
	return b.String() + "}"
}

// usage is what GET /v1/usage says of the key's first budget.
type usage struct {
	Budgets []struct {
		ID       string `json:"id"`
		LimitUSD string `json:"limit_usd"`
		UsedUSD  string `json:"used_usd"`
		LeftUSD  string `json:"left_usd"`
	} `json:"budgets"`
}

// used returns what a replica knows to be used of a budget, in dollars as text.
func (g *gateway) used(keyName, budget string) (string, error) {
	a, err := g.request(http.MethodGet, "/v1/usage", g.stack.keys[keyName], "")
	if err != nil {
		return "", err
	}
	var u usage
	if a.status != http.StatusOK {
		return "", fmt.Errorf("GET /v1/usage gives %d %s", a.status, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &u); err != nil {
		return "", fmt.Errorf("GET /v1/usage gives no JSON: %w: %q", err, a.body)
	}
	for _, b := range u.Budgets {
		if b.ID == budget {
			return b.UsedUSD, nil
		}
	}
	return "", fmt.Errorf("GET /v1/usage of key %s has no budget %q: %s", keyName, budget, a.body)
}
