package config

import "time"

// Gateway is the hot path: listeners, bounds and time limits.
type Gateway struct {
	// Listen is the address of the data plane. Default 127.0.0.1:8080.
	Listen string `yaml:"listen"`
	// AdminListen is the address for health, readiness and metrics. Default 127.0.0.1:8081.
	AdminListen string `yaml:"admin_listen"`
	// Data is the folder for what must survive a crash: the spool. One process uses it at a time. Default ./.local/gateway.
	Data string `yaml:"data"`
	// Replica is the name of this process in events and metrics. Default: the host's name.
	Replica string `yaml:"replica"`
	// Pepper is the secret under which virtual keys are digested; the same for all replicas, at least 32 bytes. Required.
	Pepper SecretRef `yaml:"pepper"`
	// PricesFile is a price list to use in place of the built-in one; see docs/prices.md. Default: the built-in one.
	PricesFile string `yaml:"prices_file"`
	// BodyLimitBytes is the largest request body; a larger one gets 413. Default 32 MiB.
	BodyLimitBytes int64 `yaml:"body_limit_bytes"`
	// HeaderLimitBytes is the largest request head; a larger one gets 431. Default 16 KiB.
	HeaderLimitBytes int `yaml:"header_limit_bytes"`
	// ReadTimeout is how long a client may take to send a request. Default 60s.
	ReadTimeout time.Duration `yaml:"read_timeout"`
	// IdleTimeout is how long an idle connection is kept. Default 2m.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// WriteTimeout is how long one write to a client may block. Default 60s.
	WriteTimeout time.Duration `yaml:"write_timeout"`
	// ConnectionLimit is the most client connections; further ones get 503. Default 50000.
	ConnectionLimit int `yaml:"connection_limit"`
	// DrainTimeout is how long a stopping gateway waits for calls and for Kafka; calls that are still running after three quarters of it are cut and recorded. Default 30s.
	DrainTimeout time.Duration `yaml:"drain_timeout"`
	// Upstream bounds calls to providers.
	Upstream Upstream `yaml:"upstream"`
	// Idempotency bounds the memory for answers given under an Idempotency-Key.
	Idempotency Idempotency `yaml:"idempotency"`
}

// Upstream bounds calls to providers.
type Upstream struct {
	// ConnectTimeout is for TCP and TLS together. Default 5s.
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	// FirstByteTimeout is from the request sent to the first byte of the answer. Default 2m.
	FirstByteTimeout time.Duration `yaml:"first_byte_timeout"`
	// ChunkTimeout is the longest silence within a stream. Default 60s.
	ChunkTimeout time.Duration `yaml:"chunk_timeout"`
	// TotalTimeout is for the whole call. Default 10m.
	TotalTimeout time.Duration `yaml:"total_timeout"`
	// AnswerLimitBytes is the largest answer that is not streamed; a larger one is an upstream error. Default 64 MiB.
	AnswerLimitBytes int `yaml:"answer_limit_bytes"`
	// ConnectionLimit is the most connections to one provider; further calls get 503. Default 10000.
	ConnectionLimit int `yaml:"connection_limit"`
	// AllowPrivate lets provider addresses be private or loopback ones. Default false.
	AllowPrivate bool `yaml:"allow_private"`
}

// Idempotency bounds the memory for answers given under an Idempotency-Key. The
// memory is of one replica; an answer that does not fit is not kept.
type Idempotency struct {
	// Entries is the most answers kept. Default 10000; 0 turns the feature off.
	Entries int `yaml:"entries"`
	// AnswerBytes is the largest answer kept. Default 256 KiB.
	AnswerBytes int `yaml:"answer_bytes"`
	// TTL is how long an answer is kept. Default 10m.
	TTL time.Duration `yaml:"ttl"`
}

func defaultGateway() Gateway {
	return Gateway{
		Listen: "127.0.0.1:8080", AdminListen: "127.0.0.1:8081", Data: "./.local/gateway",
		Pepper:         "env:TALLYGATE_PEPPER",
		BodyLimitBytes: 32 << 20, HeaderLimitBytes: 16 << 10,
		ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute, WriteTimeout: time.Minute,
		ConnectionLimit: 50_000, DrainTimeout: 30 * time.Second,
		Upstream: Upstream{
			ConnectTimeout: 5 * time.Second, FirstByteTimeout: 2 * time.Minute, ChunkTimeout: time.Minute,
			TotalTimeout: 10 * time.Minute, AnswerLimitBytes: 64 << 20, ConnectionLimit: 10_000,
		},
		Idempotency: Idempotency{Entries: 10_000, AnswerBytes: 256 << 10, TTL: 10 * time.Minute},
	}
}

func (g *Gateway) validate(at where) {
	at.field("listen").address(g.Listen)
	at.field("admin_listen").address(g.AdminListen)
	if g.Data == "" {
		at.field("data").wrong("must name a folder")
	}
	g.Pepper.validate(at.field("pepper"))
	between(at.field("body_limit_bytes"), g.BodyLimitBytes, 1<<10, 1<<30)
	between(at.field("header_limit_bytes"), g.HeaderLimitBytes, 4<<10, 1<<20)
	between(at.field("read_timeout"), g.ReadTimeout, 100*time.Millisecond, time.Hour)
	between(at.field("idle_timeout"), g.IdleTimeout, time.Second, time.Hour)
	between(at.field("write_timeout"), g.WriteTimeout, 100*time.Millisecond, time.Hour)
	between(at.field("connection_limit"), g.ConnectionLimit, 1, 10_000_000)
	between(at.field("drain_timeout"), g.DrainTimeout, 0, time.Hour)
	u, up := &g.Upstream, at.field("upstream")
	between(up.field("connect_timeout"), u.ConnectTimeout, 10*time.Millisecond, time.Minute)
	between(up.field("total_timeout"), u.TotalTimeout, 100*time.Millisecond, 24*time.Hour)
	between(up.field("first_byte_timeout"), u.FirstByteTimeout, 10*time.Millisecond, u.TotalTimeout)
	between(up.field("chunk_timeout"), u.ChunkTimeout, 10*time.Millisecond, u.TotalTimeout)
	between(up.field("answer_limit_bytes"), u.AnswerLimitBytes, 1<<10, 1<<30)
	between(up.field("connection_limit"), u.ConnectionLimit, 1, 1_000_000)
	i, id := &g.Idempotency, at.field("idempotency")
	between(id.field("entries"), i.Entries, 0, 10_000_000)
	between(id.field("answer_bytes"), i.AnswerBytes, 1<<10, 64<<20)
	between(id.field("ttl"), i.TTL, time.Second, 24*time.Hour)
}

// Spool keeps events safe on disk until Kafka has them.
type Spool struct {
	// QuotaBytes is how much disk the spool may fill while Kafka is away; then new calls get 503. Default 1 GiB.
	QuotaBytes int64 `yaml:"quota_bytes"`
	// SegmentBytes is the size of one file. Default 64 MiB.
	SegmentBytes int64 `yaml:"segment_bytes"`
	// Sync says when events are safe from loss of power: "always" (before the answer), "interval", or
	// "never" (left to the system). A crash of the process loses nothing in any mode. Default interval.
	Sync string `yaml:"sync"`
	// SyncInterval is for "interval". Default 50ms.
	SyncInterval time.Duration `yaml:"sync_interval"`
}

func defaultSpool() Spool {
	return Spool{QuotaBytes: 1 << 30, SegmentBytes: 64 << 20, Sync: "interval", SyncInterval: 50 * time.Millisecond}
}

func (s *Spool) validate(at where) {
	between(at.field("segment_bytes"), s.SegmentBytes, 4<<20, 4<<30)
	if s.QuotaBytes < 2*s.SegmentBytes {
		at.field("quota_bytes").wrong("must be at least two segments of %d bytes, got %d", s.SegmentBytes, s.QuotaBytes)
	}
	at.field("sync").oneOf(s.Sync, "always", "interval", "never")
	between(at.field("sync_interval"), s.SyncInterval, time.Millisecond, 10*time.Second)
}

// Kafka is where the log lives.
type Kafka struct {
	// Brokers are host:port of some of the cluster's brokers. Default 127.0.0.1:9092.
	Brokers []string `yaml:"brokers"`
	// Partitions is the number of partitions of the topics that have many. It can never be changed. Default 12.
	Partitions int `yaml:"partitions"`
	// Replication is the replication factor of the topics that are made. Default 1; 3 in production.
	Replication int `yaml:"replication"`
	// MinInSync is min.insync.replicas of the topics that are made. Default 1; 2 in production.
	MinInSync int `yaml:"min_insync"`
	// CreateTopics makes missing topics at start. Default true.
	CreateTopics bool `yaml:"create_topics"`
}

func defaultKafka() Kafka {
	return Kafka{Brokers: []string{"127.0.0.1:9092"}, Partitions: 12, Replication: 1, MinInSync: 1, CreateTopics: true}
}

func (k *Kafka) validate(at where) {
	if len(k.Brokers) == 0 {
		at.field("brokers").wrong("must name at least one broker, host:port")
	}
	for i, b := range k.Brokers {
		at.field("brokers").index(i).address(b)
	}
	between(at.field("partitions"), k.Partitions, 1, 10_000)
	between(at.field("replication"), k.Replication, 1, 9)
	between(at.field("min_insync"), k.MinInSync, 1, k.Replication)
}

// ClickHouse is where the consumers write.
type ClickHouse struct {
	// URL is http://user:password@host:port/database of ClickHouse's HTTP interface. Default http://127.0.0.1:8123/tallygate.
	URL string `yaml:"url"`
}

func (c *ClickHouse) validate(at where) { at.field("url").httpURL(c.URL) }

// Consumers are the projections: ledger, audit, rollups.
type Consumers struct {
	// Listen is the address for health, readiness and metrics. Default 127.0.0.1:8082.
	Listen string `yaml:"listen"`
	// BatchRows is the most rows of one insert. Default 50000.
	BatchRows int `yaml:"batch_rows"`
	// BatchBytes is the most bytes of one insert. Default 16 MiB.
	BatchBytes int64 `yaml:"batch_bytes"`
	// FlushInterval is how long a row may wait for its batch to fill. Default 1s.
	FlushInterval time.Duration `yaml:"flush_interval"`
	// HoldGrace is added to a hold's end before the ledger expires it. Default 1m.
	HoldGrace time.Duration `yaml:"hold_grace"`
}

func defaultConsumers() Consumers {
	return Consumers{Listen: "127.0.0.1:8082", BatchRows: 50_000, BatchBytes: 16 << 20, FlushInterval: time.Second, HoldGrace: time.Minute}
}

func (c *Consumers) validate(at where) {
	at.field("listen").address(c.Listen)
	between(at.field("batch_rows"), c.BatchRows, 1, 1_000_000)
	between(at.field("batch_bytes"), c.BatchBytes, 1<<10, 256<<20)
	between(at.field("flush_interval"), c.FlushInterval, 10*time.Millisecond, time.Minute)
	between(at.field("hold_grace"), c.HoldGrace, 0, 24*time.Hour)
}
