package price

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate/schemas/config"
)

func nanos(day string) int64 {
	t, err := time.Parse(time.RFC3339, day)
	if err != nil {
		panic(err)
	}
	return t.UnixNano()
}

func TestDefault(t *testing.T) {
	l := Default()
	if n := len(l.Models()); n < 45 {
		t.Fatalf("unexpected number of priced models; got %d; want at least 45", n)
	}
	now := nanos("2026-11-22T00:00:00Z")
	for _, m := range l.Models() {
		p := l.Series(m.Provider, m.Name).At(now, 1000)
		if p == nil || p.Input <= 0 {
			t.Errorf("%s/%s has no price on 2026-11-22", m.Provider, m.Name)
			continue
		}
		// A slip of the decimal point shows here.
		if p.CacheRead > p.Input || p.CacheWrite5m < p.Input || p.CacheWrite1h < p.CacheWrite5m || p.Output > 20*p.Input {
			t.Errorf("%s/%s has odd prices: %+v", m.Provider, m.Name, *p)
		}
	}
}

func TestSeriesAt(t *testing.T) {
	l := Default()
	f := func(provider, model, moment string, tokens uint64, want Price) {
		t.Helper()
		s := l.Series(provider, model)
		if s == nil {
			t.Fatalf("%s/%s is unpriced", provider, model)
		}
		if got := s.At(nanos(moment), tokens); got == nil || *got != want {
			t.Fatalf("unexpected price of %s/%s at %s for %d tokens; got %+v; want %+v", provider, model, moment, tokens, got, want)
		}
	}
	const usd = 1_000_000_000
	mini := Price{Input: usd / 4, CacheRead: usd / 40, CacheWrite5m: usd / 4, CacheWrite1h: usd / 4, Output: 2 * usd}
	f("openai", "gpt-5-mini", "2026-11-22T00:00:00Z", 10, mini)
	f("openai", "gpt-5-mini-2025-08-07", "2026-11-22T00:00:00Z", 10, mini)
	f("openai", "openai/gpt-5-mini", "2026-11-22T00:00:00Z", 10, mini)
	f("my-own-name", "gpt-5-mini", "2026-11-22T00:00:00Z", 10, mini)

	// The price of a length tier is for the whole request, from the first token above.
	astra := Price{Input: 10 * usd, CacheRead: usd, CacheWrite5m: 12.5 * usd, CacheWrite1h: 12.5 * usd, Output: 50 * usd}
	long := Price{Input: 20 * usd, CacheRead: 2 * usd, CacheWrite5m: 25 * usd, CacheWrite1h: 25 * usd, Output: 75 * usd}
	f("openai", "gpt-6-astra", "2026-11-22T00:00:00Z", 272_000, astra)
	f("openai", "gpt-6-astra", "2026-11-22T00:00:00Z", 272_001, long)

	// A price changes at midnight UTC.
	sonnet := Price{Input: 2 * usd, CacheRead: usd / 5, CacheWrite5m: 2.5 * usd, CacheWrite1h: 4 * usd, Output: 10 * usd}
	f("anthropic", "claude-sonnet-5-5", "2026-10-06T23:59:59.999999999Z", 10, sonnet)
	sonnet.CacheRead = usd / 10
	f("anthropic", "claude-sonnet-5-5", "2026-10-07T00:00:00Z", 10, sonnet)

	sonnet45 := Price{Input: 3 * usd, CacheRead: .3 * usd, CacheWrite5m: 3.75 * usd, CacheWrite1h: 6 * usd, Output: 15 * usd}
	f("anthropic", "claude-sonnet-4-5@20250929", "2026-11-22T00:00:00Z", 10, sonnet45)
	f("bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", "2026-11-22T00:00:00Z", 10, sonnet45)
	f("bedrock", "us.amazon.nova-micro-v1:0", "2026-11-22T00:00:00Z", 10,
		Price{Input: 35_000_000, CacheRead: 8_750_000, CacheWrite5m: 35_000_000, CacheWrite1h: 35_000_000, Output: 140_000_000})
}

func TestUnpriced(t *testing.T) {
	l := Default()
	f := func(provider, model string) {
		t.Helper()
		if l.Series(provider, model) != nil {
			t.Fatalf("%s/%s has a price; it must have none", provider, model)
		}
	}
	f("openai", "gpt-99")
	f("openai", "")
	f("openai", "claude-opus-5") // of another provider
	f("bedrock", "us.anthropic.claude-opus-5-5")
	if p := l.Series("openai", "gpt-5-mini").At(nanos("2020-01-01T00:00:00Z"), 1); p != nil {
		t.Fatalf("unexpected price from before the first known one: %+v", *p)
	}
}

func TestUntil(t *testing.T) {
	l, err := Parse("p.yaml", []byte(`{version: x, providers: [{id: a, models: [{id: m, prices: [
		{from: 2026-01-01, until: 2026-02-01, input: 1, output: 1}, {from: 2026-03-01, input: 2, output: 2}]}]},
		{id: b, models: [{id: m, prices: [{from: 2026-01-01, input: 1, output: 1}]}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	s := l.Series("a", "m")
	for moment, want := range map[string]int64{"2026-01-31T23:59:59Z": 1, "2026-02-01T00:00:00Z": 0, "2026-03-01T00:00:00Z": 2} {
		var got int64
		if p := s.At(nanos(moment), 1); p != nil {
			got = p.Input / 1_000_000_000
		}
		if got != want {
			t.Fatalf("unexpected price at %s; got %d; want %d", moment, got, want)
		}
	}
	if l.Series("elsewhere", "m") != nil {
		t.Fatal("a bare name that two providers have must have no price elsewhere")
	}
}

func TestParseReportsAllMistakes(t *testing.T) {
	text := `version: ""
providers:
  - id: openai
    models:
      - id: a
        prices:
          - {from: 2026-01-01, input: -1, output: 1}
          - {from: 2025-01-01, output: 1}
      - id: a
        prices:
          - input: 1
            output: 2000000
            until: 2020-01-01
            tiers:
              - {above_tokens: 5, input: 1, output: 1}
              - {above_tokens: 5, input: 1, output: 1}
      - {id: c}
  - {id: openai}
`
	_, err := Parse("p.yaml", []byte(text))
	want := []string{
		`p.yaml:1: version: must name the list`,
		`p.yaml:7: providers[0].models[0].prices[0].input: must be from 0`,
		`p.yaml:8: providers[0].models[0].prices[1].from: must be later`,
		`p.yaml:8: providers[0].models[0].prices[1].input: is required`,
		`p.yaml:9: providers[0].models[1].id: the model "a" stands twice`,
		`p.yaml:11: providers[0].models[1].prices[0].from: is required`,
		`p.yaml:12: providers[0].models[1].prices[0].output: must be from 0`,
		`p.yaml:16: providers[0].models[1].prices[0].tiers[1].above_tokens: must be more than 5`,
		`p.yaml:17: providers[0].models[2].prices: must hold at least one period`,
		`p.yaml:18: providers[1].id: the provider "openai" stands twice`,
	}
	got := strings.Split(fmt.Sprint(err), "\n")
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !strings.HasPrefix(got[i], want[i]) {
			t.Fatalf("unexpected mistakes; got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}

	_, err = Parse("p.yaml", []byte("version: x\nproviders:\n  - id: a\n    models: [{id: m, prices: [{from: soon, input: 1e3, outptu: 1}]}]\n"))
	var m config.Mistakes
	if !errors.As(err, &m) || len(m) != 3 {
		t.Fatalf("unexpected error; got %v; want 3 mistakes", err)
	}
}

func TestLoad(t *testing.T) {
	if l, err := Load(""); err != nil || l != Default() {
		t.Fatalf("an empty path must give the built-in list, got %v", err)
	}
	path := filepath.Join(t.TempDir(), "prices.yaml")
	if _, err := Load(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("unexpected error for a missing file: %v", err)
	}
	if err := os.WriteFile(path, builtIn, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Load(path)
	if err != nil || l.Version() != Default().Version() {
		t.Fatalf("the same bytes must give the same version, got %v", err)
	}
	other, err := Parse(path, append([]byte("# a remark\n"), builtIn...))
	if err != nil || other.Version() == l.Version() {
		t.Fatalf("other bytes must give another version, got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("version: x\nproviders: [{id: a, models: [{id: m, prices: [{from: 2026-01-01, input: 1, output: 1}]}]}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if l, err := Parse("p.yaml", data); err == nil {
			for _, m := range l.Models() {
				l.Series(m.Provider, m.Name).At(0, 1)
			}
		}
	})
}
