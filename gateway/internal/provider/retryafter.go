package provider

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// retryAfterMaxMs is the longest wait that a provider is believed, in milliseconds.
const retryAfterMaxMs = 24 * 60 * 60 * 1000

// RetryAfterMs is how long a provider asks to wait, by retry-after-ms, or else by
// Retry-After in seconds, whole or not, or as a date; 0 if it does not say.
func RetryAfterMs(header *fasthttp.ResponseHeader, now time.Time) uint64 {
	if ms, ok := positive(header.Peek("Retry-After-Ms"), 1); ok {
		return ms
	}
	value := header.Peek(fasthttp.HeaderRetryAfter)
	if ms, ok := positive(value, 1000); ok {
		return ms
	}
	if date, err := fasthttp.ParseHTTPDate(value); err == nil && date.After(now) {
		return uint64(min(date.Sub(now).Milliseconds(), retryAfterMaxMs))
	}
	return 0
}

// positive reads a decimal number and multiplies it, rounding up.
func positive(value []byte, by float64) (ms uint64, ok bool) {
	f, err := strconv.ParseFloat(strings.TrimSpace(string(value)), 64)
	if err != nil || !(f > 0) {
		return 0, false
	}
	return uint64(min(math.Ceil(f*by), retryAfterMaxMs)), true
}
