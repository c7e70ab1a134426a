package simulator

import (
	"encoding/json"
	"sync"
	"sync/atomic"
)

// modelsMax bounds the models that are counted apart; further ones are counted
// together under modelsOther.
const (
	modelsMax   = 1000
	modelsOther = "_other"
)

// stats counts what the simulator did since the start or the last reset.
type stats struct {
	requests  atomic.Int64
	invalid   atomic.Int64
	fates     [fateCount]atomic.Int64
	hangUps   atomic.Int64
	input     atomic.Int64
	output    atomic.Int64
	partial   atomic.Int64
	modelsLen atomic.Int64
	models    sync.Map // string → *modelStats
}

type modelStats struct{ requests, input, output atomic.Int64 }

// Stats is a reading of the counters.
type Stats struct {
	// Requests counts chat completion requests, Invalid those of them that were
	// refused for what they held or for their key.
	Requests int64 `json:"requests"`
	Invalid  int64 `json:"invalid"`
	// Fates counts valid requests by what became of them.
	Fates map[string]int64 `json:"fates"`
	// HangUps counts clients that closed the connection before the answer was complete.
	HangUps int64 `json:"hang_ups"`
	// InputTokens and OutputTokens are the sums over complete answers, PartialTokens
	// over the content of incomplete ones.
	InputTokens   int64                 `json:"input_tokens"`
	OutputTokens  int64                 `json:"output_tokens"`
	PartialTokens int64                 `json:"partial_tokens"`
	Models        map[string]ModelStats `json:"models"`
}

// ModelStats are the complete answers of one model.
type ModelStats struct {
	Requests     int64 `json:"requests"`
	InputTokens  int64 `json:"input_tokens"`
	OutputTokens int64 `json:"output_tokens"`
}

// settle counts the end of an answer, of which sent tokens of content left.
func (s *stats) settle(a *answer, complete bool, sent int) {
	if !complete {
		s.partial.Add(int64(sent))
		return
	}
	input, output := int64(a.promptTokens), int64(a.outputTokens())
	s.input.Add(input)
	s.output.Add(output)
	m := s.model(a.model)
	m.requests.Add(1)
	m.input.Add(input)
	m.output.Add(output)
}

func (s *stats) model(name string) *modelStats {
	if m, ok := s.models.Load(name); ok {
		return m.(*modelStats)
	}
	if name != modelsOther && s.modelsLen.Add(1) > modelsMax {
		return s.model(modelsOther)
	}
	m, _ := s.models.LoadOrStore(name, new(modelStats))
	return m.(*modelStats)
}

// read returns the counters. While requests are served they need not add up.
func (s *stats) read() Stats {
	out := Stats{
		Requests: s.requests.Load(), Invalid: s.invalid.Load(), HangUps: s.hangUps.Load(), InputTokens: s.input.Load(),
		OutputTokens: s.output.Load(), PartialTokens: s.partial.Load(),
		Fates: map[string]int64{}, Models: map[string]ModelStats{},
	}
	for f := range fateCount {
		if n := s.fates[f].Load(); n > 0 {
			out.Fates[f.String()] = n
		}
	}
	s.models.Range(func(name, m any) bool {
		ms := m.(*modelStats)
		out.Models[name.(string)] = ModelStats{ms.requests.Load(), ms.input.Load(), ms.output.Load()}
		return true
	})
	return out
}

// json returns the counters as JSON, the same ones always in the same order.
func (s Stats) json() []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic("BUG: statistics can be encoded: " + err.Error())
	}
	return append(b, '\n')
}

// reset sets every counter to zero. Answers under way are counted after it.
func (s *stats) reset() {
	for _, n := range []*atomic.Int64{&s.requests, &s.invalid, &s.hangUps, &s.input, &s.output, &s.partial, &s.modelsLen} {
		n.Store(0)
	}
	for f := range s.fates {
		s.fates[f].Store(0)
	}
	s.models.Clear()
}
