package simulator

import (
	"context"
	"math"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"
)

func traceDials(ctx context.Context, dials *int) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if !info.Reused {
			*dials++
		}
	}})
}

func TestApplyFailure(t *testing.T) {
	f := func(directives string, want ...string) {
		t.Helper()
		b := DefaultBehaviour()
		err := b.Apply(directives)
		if err == nil {
			t.Fatalf("no error for %q", directives)
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Fatalf("unexpected error for %q; got %q; want it to hold %q", directives, err, w)
			}
		}
	}
	f("speed=1", `directive "speed": unknown; known are latency`)
	f("latency=fast,gap=-1s", `directive "latency": "fast" is not a time`, `directive "gap": "-1s" is outside`)
	f("latency=2s..1s", "must not be below")
	f("latency=0s~1s", "the median must be above 0")
	f("tokens=0", "from 1 to")
	f("error=2", "between 0 and 1")
	f("error=NaN", "between 0 and 1")
	f("error=0.6,cut=0.6", "add up to 1.2")
	f("status=200", "from 400 to 599")
	f("code=a-b", "must consist of")
	f("headers_first=maybe", "headers_first")
}

func TestOddsComeTrue(t *testing.T) {
	b := DefaultBehaviour()
	if err := b.Apply("error=0.1,cut=0.05,hang=0.01"); err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	const n = 100_000
	var seen [fateCount]float64
	for i := range uint64(n) {
		d := drawsFor(1, i)
		seen[b.fate(&d)]++
	}
	want := map[Fate]float64{Answered: 0.84, Refused: 0.1, Cut: 0.05, Hung: 0.01}
	for f := range fateCount {
		if got := seen[f] / n; math.Abs(got-want[f]) > 0.005 {
			t.Fatalf("unexpected share of %s; got %g; want %g", f, got, want[f])
		}
	}
}

func TestDistributions(t *testing.T) {
	f := func(text string, low, median, p99 time.Duration) {
		t.Helper()
		d, err := ParseDistribution(text)
		if err != nil {
			t.Fatalf("unexpected error for %q: %s", text, err)
		}
		const n = 20_000
		below, above := 0, 0
		for i := range uint64(n) {
			from := drawsFor(7, i)
			switch v := d.Draw(&from); {
			case v < low:
				t.Fatalf("a draw of %s from %q is below %s", v, text, low)
			case v < median:
				below++
			case v > p99:
				above++
			}
		}
		if math.Abs(float64(below)/n-0.5) > 0.02 || math.Abs(float64(above)/n-0.01) > 0.005 {
			t.Fatalf("unexpected draws from %q: %d of %d below the median, %d above the 99th percentile", text, below, n, above)
		}
	}
	f("20ms..80ms", 20*time.Millisecond, 50*time.Millisecond, 79400*time.Microsecond)
	f("50ms~400ms", 0, 50*time.Millisecond, 400*time.Millisecond)
	for _, text := range []string{"0s", "50ms", "20ms..80ms", "50ms~400ms"} {
		if d, err := ParseDistribution(text); err != nil || d.String() != text {
			t.Fatalf("unexpected form of %q; got %q, %v", text, d, err)
		}
	}
}

func FuzzParseChat(f *testing.F) {
	for _, seed := range []string{
		"", "{", "[]", `{"model":"m","messages":[{"role":"user","content":"Hi"}]}`,
		`{"model":"m@tokens=3","messages":[{"role":"user","content":[{"type":"text","text":"a"},3]}],"n":8,"max_tokens":1e300}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		req, wrong := parseChat(body, true, false)
		if wrong != nil {
			return
		}
		if req.model == "" || req.choices < 1 || req.choices > choicesMax || req.promptTokens < tokensPerMessage || req.outputMax < 0 {
			t.Fatalf("an invalid request was accepted: %+v", req)
		}
	})
}
