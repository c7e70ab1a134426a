package audit

import (
	"time"

	"github.com/google/uuid"

	"github.com/tallygate/tallygate/consumers/internal/projection"
)

// RequestRow is a row of the table requests.
type RequestRow struct {
	Org           string    `ch:"org"`
	RequestID     uuid.UUID `ch:"request_id"`
	ParentID      uuid.UUID `ch:"parent_id"`
	Team          string    `ch:"team"`
	App           string    `ch:"app"`
	Key           string    `ch:"key"`
	EndUser       string    `ch:"end_user"`
	Operation     string    `ch:"operation"`
	Dialect       string    `ch:"dialect"`
	Route         string    `ch:"route"`
	Model         string    `ch:"model"`
	Provider      string    `ch:"provider"`
	UpstreamModel string    `ch:"upstream_model"`
	Stream        bool      `ch:"stream"`

	Outcome      string `ch:"outcome"`
	Status       uint16 `ch:"status"`
	ErrorCode    string `ch:"error_code"`
	FinishReason string `ch:"finish_reason"`
	Calls        uint64 `ch:"calls"`

	Rule            string    `ch:"rule"`
	RuleKind        string    `ch:"rule_kind"`
	RuleLimit       int64     `ch:"rule_limit"`
	RuleUsed        int64     `ch:"rule_used"`
	RuleAsked       int64     `ch:"rule_asked"`
	RuleWindowStart time.Time `ch:"rule_window_start"`
	RuleWindowEnd   time.Time `ch:"rule_window_end"`
	Reason          string    `ch:"reason"`
	RetryAfterMs    uint64    `ch:"retry_after_ms"`

	InputTokens          uint64 `ch:"input_tokens"`
	CacheReadTokens      uint64 `ch:"cache_read_tokens"`
	CacheWrite5mTokens   uint64 `ch:"cache_write_5m_tokens"`
	CacheWrite1hTokens   uint64 `ch:"cache_write_1h_tokens"`
	OutputTokens         uint64 `ch:"output_tokens"`
	ReasoningTokens      uint64 `ch:"reasoning_tokens"`
	UsageSource          string `ch:"usage_source"`
	InputTokensEstimated uint64 `ch:"input_tokens_estimated"`
	OutputTokensBound    uint64 `ch:"output_tokens_bound"`

	CostNanos        int64 `ch:"cost_nanos"`
	CostAvoidedNanos int64 `ch:"cost_avoided_nanos"`
	HoldNanos        int64 `ch:"hold_nanos"`

	ReceivedAt   time.Time `ch:"received_at"`
	CompletedAt  time.Time `ch:"completed_at"`
	DurationNs   uint64    `ch:"duration_ns"`
	FirstTokenNs uint64    `ch:"first_token_ns"`
	OverheadNs   uint64    `ch:"overhead_ns"`
	BodyBytes    uint64    `ch:"body_bytes"`
	AnswerBytes  uint64    `ch:"answer_bytes"`
	UserAgent    string    `ch:"user_agent"`

	PolicyVersion   uint64    `ch:"policy_version"`
	DecisionVersion uint32    `ch:"decision_version"`
	OriginalID      uuid.UUID `ch:"original_id"`

	AttemptProvider          []string    `ch:"attempts.provider"`
	AttemptModel             []string    `ch:"attempts.model"`
	AttemptCredential        []string    `ch:"attempts.credential"`
	AttemptStatus            []uint16    `ch:"attempts.status"`
	AttemptErrorClass        []string    `ch:"attempts.error_class"`
	AttemptStartedAt         []time.Time `ch:"attempts.started_at"`
	AttemptFirstByteNs       []uint64    `ch:"attempts.first_byte_ns"`
	AttemptDurationNs        []uint64    `ch:"attempts.duration_ns"`
	AttemptInputTokens       []uint64    `ch:"attempts.input_tokens"`
	AttemptOutputTokens      []uint64    `ch:"attempts.output_tokens"`
	AttemptCostNanos         []int64     `ch:"attempts.cost_nanos"`
	AttemptPriced            []bool      `ch:"attempts.priced"`
	AttemptUpstreamRequestID []string    `ch:"attempts.upstream_request_id"`

	EventID    uuid.UUID `ch:"event_id"`
	Spool      uint64    `ch:"spool"`
	Partition  uint32    `ch:"partition"`
	Pseq       uint64    `ch:"pseq"`
	Offset     uint64    `ch:"offset"`
	AppendedAt time.Time `ch:"appended_at"`
	Version    uint64    `ch:"version"`
}

// Table implements projection.Row.
func (*RequestRow) Table() string { return "requests" }

// Month implements projection.Row.
func (r *RequestRow) Month() int { return projection.MonthOf(r.ReceivedAt) }
