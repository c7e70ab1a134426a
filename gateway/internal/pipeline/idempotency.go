package pipeline

import (
	"crypto/sha256"
	"hash/maphash"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/tallygate/tallygate/gateway/internal/apierror"
	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/event"
)

const (
	// idempotencyKeyMax bounds the client's header, in bytes.
	idempotencyKeyMax = 255
	idempotencyShards = 32
)

// idempotency remembers answers that were given under an Idempotency-Key. Its
// locks are taken only by requests that carry one.
type idempotency struct {
	conf   *config.Idempotency
	seed   maphash.Seed
	shards [idempotencyShards]idempotencyShard
}

type idempotencyShard struct {
	sync.Mutex
	answers *lru.Cache[idempotencyKey, *idempotent]
}

// idempotencyKey is HMAC-SHA256 of the virtual key's id and the client's header:
// what clients send is not kept.
type idempotencyKey [sha256.Size]byte

// idempotent is an answer that was given, or a request that is running.
type idempotent struct {
	body        [sha256.Size]byte
	running     bool
	request     event.ID
	at          int64
	contentType string
	answer      []byte
	costNanos   int64
	finish      string
}

func newIdempotency(conf *config.Idempotency) *idempotency {
	if conf.Entries == 0 {
		return nil
	}
	m := &idempotency{conf: conf, seed: maphash.MakeSeed()}
	for i := range m.shards {
		c, err := lru.New[idempotencyKey, *idempotent](max(conf.Entries/idempotencyShards, 1))
		if err != nil {
			panic("BUG: an LRU of positive size cannot be made: " + err.Error())
		}
		m.shards[i].answers = c
	}
	return m
}

func (m *idempotency) shard(k idempotencyKey) *idempotencyShard {
	return &m.shards[maphash.Comparable(m.seed, k)%idempotencyShards]
}

// replay gives the answer of an earlier request with the same Idempotency-Key, or
// notes that this one is running. A replay passed the rules before it; it reserves nothing.
func replay(r *Request) *Denial {
	m := r.p.idempotency
	given := r.ctx.Request.Header.Peek("Idempotency-Key")
	if m == nil || len(given) == 0 {
		return nil
	}
	if len(given) > idempotencyKeyMax {
		return r.deny(apierror.BadRequest, "", "The Idempotency-Key must have at most 255 bytes.")
	}
	// The id of the virtual key has no zero byte, so no two pairs make one text.
	text := append(append([]byte(r.key.Org+"\x00"+r.key.ID), 0), given...)
	r.idemKey = idempotencyKey(r.p.Digester.Digest(text))
	copy(r.idempotency[:], r.idemKey[:])
	r.facts.IdempotencyDigest = r.idempotency[:]
	body := sha256.Sum256(r.llm.Body)

	s := m.shard(r.idemKey)
	s.Lock()
	defer s.Unlock()
	old, ok := s.answers.Get(r.idemKey)
	if !ok || !old.running && r.now-old.at > int64(m.conf.TTL) {
		r.idem = &idempotent{body: body, running: true, request: r.id, at: r.now}
		s.answers.Add(r.idemKey, r.idem)
		return nil
	}
	switch {
	case old.body != body:
		return r.deny(apierror.IdempotencyReused, "", "")
	case old.running:
		d := r.deny(apierror.IdempotencyBusy, "", "")
		d.RetryAfterMs = 1000
		return d
	}
	r.out.kind, r.out.status = event.Outcome_OUTCOME_REPLAYED, 200
	r.out.original, r.out.avoided, r.out.finish = old.request[:], old.costNanos, old.finish
	r.out.answerBytes = len(old.answer)
	r.in = append(r.in[:0], old.answer...)
	r.contentType = old.contentType
	return nil
}

// keepAnswer remembers the answer for a later request with the same Idempotency-Key.
func (r *Request) keepAnswer(contentType string, answer []byte) {
	if r.idem == nil {
		return
	}
	if len(answer) > r.p.idempotency.conf.AnswerBytes || r.out.kind != event.Outcome_OUTCOME_OK {
		r.forget()
		return
	}
	s := r.p.idempotency.shard(r.idemKey)
	s.Lock()
	defer s.Unlock()
	r.idem.contentType = contentType
	r.idem.answer = append([]byte(nil), answer...)
	r.idem.costNanos, r.idem.finish = r.out.costNanos, string(append([]byte(nil), r.out.finish...))
	r.idem.running = false
	r.idem = nil
}

// forget lets a request with the same Idempotency-Key be made again, after this
// one had no answer that could be repeated.
func (r *Request) forget() {
	if r.idem == nil {
		return
	}
	s := r.p.idempotency.shard(r.idemKey)
	s.Lock()
	defer s.Unlock()
	// It may have been pushed out, and another request may have taken its place.
	if now, ok := s.answers.Peek(r.idemKey); ok && now == r.idem {
		s.answers.Remove(r.idemKey)
	}
	r.idem = nil
}
