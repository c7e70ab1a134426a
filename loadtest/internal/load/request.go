package load

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// requests are the bytes of all that is sent to one target, made once.
type requests struct {
	whole, streamed [][]byte
	share           float64
}

// at returns the n-th request and whether it asks for a stream. Streams are
// spread evenly.
func (r *requests) at(n int64) (request []byte, stream bool) {
	if int64(float64(n+1)*r.share) > int64(float64(n)*r.share) {
		return r.streamed[int(n%int64(len(r.streamed)))], true
	}
	return r.whole[int(n%int64(len(r.whole)))], false
}

func newRequests(s *Scenario, t *Target, to destination) *requests {
	r := &requests{share: s.StreamShare}
	for i := range s.Variants {
		r.whole = append(r.whole, encode(to, t.Key, body(s, i, false)))
		r.streamed = append(r.streamed, encode(to, t.Key, body(s, i, true)))
	}
	return r
}

func encode(to destination, key string, body []byte) []byte {
	b := []byte("POST " + to.path + " HTTP/1.1\r\nHost: " + to.host + "\r\nUser-Agent: tallygate-load\r\n")
	if key != "" {
		b = append(b, "Authorization: Bearer "+key+"\r\n"...)
	}
	b = append(b, "Content-Type: application/json\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"...)
	return append(b, body...)
}

// body is one chat completion request of the size that the scenario says, or a
// little more where its fields alone take more.
func body(s *Scenario, variant int, stream bool) []byte {
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	type options struct {
		IncludeUsage bool `json:"include_usage"`
	}
	req := struct {
		Model     string    `json:"model"`
		Messages  []message `json:"messages"`
		MaxTokens int       `json:"max_completion_tokens,omitempty"`
		Stream    bool      `json:"stream,omitempty"`
		Options   *options  `json:"stream_options,omitempty"`
		User      string    `json:"user,omitempty"`
	}{Model: s.Model, MaxTokens: s.MaxTokens, Stream: stream}
	if stream && !s.OmitUsage {
		req.Options = &options{IncludeUsage: true}
	}
	if s.Directives != "" {
		req.User = "sim:" + s.Directives
	}
	encoded := func(fill string) []byte {
		req.Messages = []message{
			{"system", "You are a helpful assistant. Answer in one paragraph."},
			{"user", fmt.Sprintf("Question %04d. %s", variant, fill)},
		}
		b, err := json.Marshal(&req)
		if err != nil {
			panic("BUG: a request can be encoded: " + err.Error())
		}
		return b
	}
	const text = "Please compare the two plans that we discussed last week and say which one is the better choice and why. "
	missing := max(0, s.BodyBytes-len(encoded("")))
	return encoded(strings.Repeat(text, missing/len(text)+1)[:missing])
}
