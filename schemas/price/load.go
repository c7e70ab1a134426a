package price

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/tallygate/tallygate/schemas/config"
)

//go:embed prices.yaml
var builtIn []byte

// Default returns the built-in list.
func Default() *List { return builtInList() }

var builtInList = sync.OnceValue(func() *List {
	l, err := Parse("prices.yaml", builtIn)
	if err != nil {
		panic("BUG: the built-in prices are wrong: " + err.Error())
	}
	return l
})

// Load reads a list from a file; an empty path gives the built-in one. Its error
// is of type config.Mistakes if the content is wrong, and lists all of it.
func Load(path string) (*List, error) {
	if path == "" {
		return Default(), nil
	}
	data, err := config.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the prices: %w; see gateway.prices_file", err)
	}
	return Parse(path, data)
}

// Parse decodes and checks a list. The name is used in errors.
func Parse(name string, data []byte) (*List, error) {
	var f file
	doc, mistakes := config.Decode(name, data, &f)
	if len(mistakes) > 0 {
		// Values that did not decode would only lead to further, false mistakes.
		return nil, doc.Place(mistakes)
	}
	b := builder{list: &List{byProvider: map[string]map[string]*Series{}, byName: map[string]*Series{}}}
	b.file(&f)
	if len(b.mistakes) > 0 {
		return nil, doc.Place(b.mistakes)
	}
	sum := sha256.Sum256(data)
	b.list.version = f.Version + "+" + hex.EncodeToString(sum[:4])
	return b.list, nil
}

// file is a price list as it is written. See prices.yaml for what each field means.
type file struct {
	Version   string         `yaml:"version"`
	Providers []fileProvider `yaml:"providers"`
}

type fileProvider struct {
	ID     string      `yaml:"id"`
	Models []fileModel `yaml:"models"`
}

type fileModel struct {
	ID              string       `yaml:"id"`
	Aliases         []string     `yaml:"aliases"`
	ContextTokens   uint64       `yaml:"context_tokens"`
	MaxOutputTokens uint64       `yaml:"max_output_tokens"`
	Prices          []filePeriod `yaml:"prices"`
}

type filePeriod struct {
	From         date       `yaml:"from"`
	Until        date       `yaml:"until"`
	Input        amount     `yaml:"input"`
	Output       amount     `yaml:"output"`
	CacheRead    amount     `yaml:"cache_read"`
	CacheWrite5m amount     `yaml:"cache_write_5m"`
	CacheWrite1h amount     `yaml:"cache_write_1h"`
	Tiers        []fileTier `yaml:"tiers"`
}

type fileTier struct {
	AboveTokens  uint64 `yaml:"above_tokens"`
	Input        amount `yaml:"input"`
	Output       amount `yaml:"output"`
	CacheRead    amount `yaml:"cache_read"`
	CacheWrite5m amount `yaml:"cache_write_5m"`
	CacheWrite1h amount `yaml:"cache_write_1h"`
}

// amount is dollars per million tokens, which are nano-dollars per million tokens
// when read as config.USD. Not given and zero are two things.
type amount struct {
	nanos int64
	given bool
}

// UnmarshalText reads a decimal number of dollars.
func (a *amount) UnmarshalText(text []byte) error {
	v, err := config.ParseUSD(string(text))
	*a = amount{int64(v), true}
	return err
}

func (a amount) or(other int64) int64 {
	if a.given {
		return a.nanos
	}
	return other
}

// date is midnight UTC of a day in nanoseconds since the Unix epoch.
type date struct {
	nanos int64
	given bool
}

// UnmarshalText reads a day such as 2026-11-22.
func (d *date) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.DateOnly, string(text))
	if err != nil || t.Year() < 2000 || t.Year() > 2200 {
		return fmt.Errorf("must be a day from 2000 to 2200 such as 2026-11-22, got %.40q", text)
	}
	*d = date{t.UnixNano(), true}
	return nil
}

// mostNanos bounds a price: a million dollars per million tokens.
const mostNanos = 1_000_000 * 1_000_000_000

type builder struct {
	list     *List
	mistakes config.Mistakes
}

func (b *builder) wrong(field, format string, args ...any) {
	b.mistakes = append(b.mistakes, config.Mistake{Field: field, Problem: fmt.Sprintf(format, args...)})
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func (b *builder) file(f *file) {
	if f.Version == "" || len(f.Version) > 64 {
		b.wrong("version", "must name the list in 1 to 64 characters, for example the day it was made")
	}
	if len(f.Providers) == 0 {
		b.wrong("providers", "must list at least one provider")
	}
	for i, p := range f.Providers {
		at := index("providers", i)
		if p.ID == "" {
			b.wrong(at+".id", "is required")
		}
		if _, ok := b.list.byProvider[p.ID]; ok {
			b.wrong(at+".id", "the provider %q stands twice", p.ID)
			continue
		}
		b.list.byProvider[p.ID] = map[string]*Series{}
		for j := range p.Models {
			b.model(index(at+".models", j), p.ID, &p.Models[j])
		}
	}
	slices.SortFunc(b.list.models, func(x, y Model) int {
		return cmp.Or(cmp.Compare(x.Provider, y.Provider), cmp.Compare(x.Name, y.Name))
	})
}

func (b *builder) model(at, provider string, m *fileModel) {
	s := &Series{}
	b.name(at+".id", provider, m.ID, s)
	for i, alias := range m.Aliases {
		b.name(index(at+".aliases", i), provider, alias, s)
	}
	if len(m.Prices) == 0 {
		b.wrong(at+".prices", "must hold at least one period")
	}
	for i := range m.Prices {
		b.period(index(at+".prices", i), s, &m.Prices[i])
	}
	b.list.models = append(b.list.models, Model{provider, m.ID, m.ContextTokens, m.MaxOutputTokens})
}

// name enters a series under a name. A bare name that two providers have means
// neither.
func (b *builder) name(at, provider, name string, s *Series) {
	names := b.list.byProvider[provider]
	if name == "" {
		b.wrong(at, "is required")
	} else if _, ok := names[name]; ok {
		b.wrong(at, "the model %q stands twice under the provider %q", name, provider)
	} else {
		names[name] = s
		if _, taken := b.list.byName[name]; taken {
			s = nil
		}
		b.list.byName[name] = s
	}
}

func (b *builder) period(at string, s *Series, f *filePeriod) {
	p := period{from: f.From.nanos, until: int64(math.MaxInt64)}
	if !f.From.given {
		b.wrong(at+".from", "is required: the day from which the price holds")
	}
	if f.Until.given {
		if p.until = f.Until.nanos; p.until <= p.from {
			b.wrong(at+".until", "must be later than from; it is the first day on which the price holds no more")
		}
	}
	if n := len(s.periods); n > 0 {
		before := &s.periods[n-1]
		if p.from <= before.from {
			b.wrong(at+".from", "must be later than that of the period before it")
		} else if before.until == math.MaxInt64 {
			before.until = p.from
		} else if p.from < before.until {
			b.wrong(at+".from", "must not be earlier than until of the period before it")
		}
	}
	base := b.price(at, &fileTier{0, f.Input, f.Output, f.CacheRead, f.CacheWrite5m, f.CacheWrite1h})
	p.tiers = []tier{{base: true, price: base}}
	above := uint64(0)
	for i := range f.Tiers {
		at, t := index(at+".tiers", i), &f.Tiers[i]
		if t.AboveTokens <= above {
			b.wrong(at+".above_tokens", "must be more than %d, got %d", above, t.AboveTokens)
		}
		above = t.AboveTokens
		p.tiers = slices.Insert(p.tiers, 0, tier{above: above, price: b.price(at, t)})
	}
	s.periods = append(s.periods, p)
}

// price checks the amounts and fills in those that are left out: a token that is
// read from or written to a cache costs what an input token does, and a write for
// an hour what one for five minutes does.
func (b *builder) price(at string, t *fileTier) Price {
	for _, a := range []struct {
		field string
		amount
	}{{"input", t.Input}, {"output", t.Output}, {"cache_read", t.CacheRead},
		{"cache_write_5m", t.CacheWrite5m}, {"cache_write_1h", t.CacheWrite1h}} {
		if a.nanos < 0 || a.nanos > mostNanos {
			b.wrong(at+"."+a.field, "must be from 0 to 1000000 dollars per million tokens")
		}
	}
	if !t.Input.given {
		b.wrong(at+".input", "is required")
	}
	if !t.Output.given {
		b.wrong(at+".output", "is required; 0 for models that make no text")
	}
	write5m := t.CacheWrite5m.or(t.Input.nanos)
	return Price{
		Input: t.Input.nanos, CacheRead: t.CacheRead.or(t.Input.nanos), CacheWrite5m: write5m,
		CacheWrite1h: t.CacheWrite1h.or(write5m), Output: t.Output.nanos,
	}
}
