package simulator

import (
	"math"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

// refusal is an error answer in the provider's shape.
type refusal struct {
	status        int
	message, kind string
	param, code   string // empty: null
	retryAfter    time.Duration
}

func invalid(param, message string) *refusal {
	return &refusal{status: 400, message: message, kind: "invalid_request_error", param: param}
}

// refusalFor returns what the provider says with a status.
func refusalFor(b *Behaviour) *refusal {
	r := &refusal{status: b.Status, kind: "invalid_request_error", code: b.Code, retryAfter: b.RetryAfter}
	switch {
	case b.Status == 401:
		r.message, r.code = "Incorrect API key provided.", or(b.Code, "invalid_api_key")
	case b.Status == 403:
		r.message, r.code = "You are not allowed to sample from this model.", or(b.Code, "permission_denied")
	case b.Status == 404:
		r.message, r.code = "The model does not exist or you do not have access to it.", or(b.Code, "model_not_found")
	case b.Status == 429 && b.Code == "insufficient_quota":
		r.message, r.kind = "You exceeded your current quota, please check your plan and billing details.", "insufficient_quota"
	case b.Status == 429:
		r.message, r.kind, r.code = "Rate limit reached.", "requests", or(b.Code, "rate_limit_exceeded")
		if r.retryAfter == 0 {
			r.retryAfter = time.Second
		}
	case b.Status == 503:
		r.message, r.kind = "The engine is currently overloaded, please try again later.", "server_error"
	case b.Status >= 500:
		r.message, r.kind = "The server had an error while processing your request.", "server_error"
	default:
		r.message = "The request was refused by the simulator."
	}
	return r
}

func or(s, fallback string) string {
	if s != "" {
		return s
	}
	return fallback
}

// write fills a response.
func (r *refusal) write(resp *fasthttp.Response) {
	resp.SetStatusCode(r.status)
	resp.Header.SetContentType("application/json")
	if r.retryAfter > 0 {
		// The header knows whole seconds only; the millisecond one is exact.
		seconds := int64(math.Ceil(r.retryAfter.Seconds()))
		resp.Header.Set("Retry-After", strconv.FormatInt(seconds, 10))
		resp.Header.Set("Retry-After-Ms", strconv.FormatInt(r.retryAfter.Milliseconds(), 10))
	}
	resp.SetBody(r.appendBody(nil))
}

func (r *refusal) appendBody(dst []byte) []byte {
	dst = append(dst, `{"error":{"message":`...)
	dst = appendJSONString(dst, r.message)
	dst = append(dst, `,"type":`...)
	dst = appendJSONString(dst, r.kind)
	dst = append(dst, `,"param":`...)
	dst = appendStringOrNull(dst, r.param)
	dst = append(dst, `,"code":`...)
	dst = appendStringOrNull(dst, r.code)
	return append(dst, "}}"...)
}

func appendStringOrNull(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return appendJSONString(dst, s)
}
