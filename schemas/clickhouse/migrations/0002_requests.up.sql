-- requests is the audit table: one row per outcome of a request, or per aggregate of
-- denials alike (then calls is above 1 and request_id is the aggregate's own id).
--
-- ORDER BY begins with org, so that a tenant's rows are read with FINAL for little, and
-- then with the hour, because ClickHouse does not sort UUIDs by their time. received_at
-- is fixed when the request is admitted: all ends of one request have the same key and
-- the same month, and the one with the highest version stays. A completed is above an
-- abandoned, whichever came first; of two alike, the first in the log stays.
-- PARTITION BY is the month in which the request came.
-- Read with FINAL. Sum money as sum(toInt128(cost_nanos)): sum(Int64) wraps silently.
CREATE TABLE IF NOT EXISTS requests
(
    org                    LowCardinality(String),
    request_id             UUID,
    parent_id              UUID,
    team                   LowCardinality(String),
    app                    LowCardinality(String),
    key                    LowCardinality(String),
    end_user               String,
    operation              LowCardinality(String),
    dialect                LowCardinality(String),
    route                  LowCardinality(String),
    model                  LowCardinality(String),
    provider               LowCardinality(String),
    upstream_model         LowCardinality(String),
    stream                 Bool,

    -- ok, upstream_error, client_closed, timeout, replayed, internal_error, denied or abandoned.
    outcome                LowCardinality(String),
    status                 UInt16,
    error_code             LowCardinality(String),
    finish_reason          LowCardinality(String),
    calls                  UInt64,

    -- The rule that denied, what it read, in its unit, and why.
    rule                   LowCardinality(String),
    rule_kind              LowCardinality(String),
    rule_limit             Int64,
    rule_used              Int64,
    rule_asked             Int64,
    rule_window_start      DateTime64(9, 'UTC'),
    rule_window_end        DateTime64(9, 'UTC'),
    reason                 String,
    retry_after_ms         UInt64,

    -- All are totals: input includes what was read from a cache, output includes reasoning.
    input_tokens           UInt64,
    cache_read_tokens      UInt64,
    cache_write_5m_tokens  UInt64,
    cache_write_1h_tokens  UInt64,
    output_tokens          UInt64,
    reasoning_tokens       UInt64,
    -- reported, estimated, or empty where there is no usage.
    usage_source           LowCardinality(String),
    input_tokens_estimated UInt64,
    output_tokens_bound    UInt64,

    cost_nanos             Int64,
    cost_avoided_nanos     Int64,
    -- The largest hold among the request's budgets.
    hold_nanos             Int64,

    received_at            DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    completed_at           DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    duration_ns            UInt64,
    first_token_ns         UInt64,
    overhead_ns            UInt64,
    body_bytes             UInt64,
    answer_bytes           UInt64,
    user_agent             String,

    policy_version         UInt64,
    decision_version       UInt32,
    original_id            UUID,

    attempts Nested
    (
        provider            LowCardinality(String),
        model               LowCardinality(String),
        credential          LowCardinality(String),
        status              UInt16,
        error_class         LowCardinality(String),
        started_at          DateTime64(9, 'UTC'),
        first_byte_ns       UInt64,
        duration_ns         UInt64,
        input_tokens        UInt64,
        output_tokens       UInt64,
        cost_nanos          Int64,
        priced              Bool,
        upstream_request_id String
    ),

    event_id               UUID,
    spool                  UInt64,
    partition              UInt32,
    pseq                   UInt64,
    `offset`               UInt64,
    appended_at            DateTime64(3, 'UTC'),
    version                UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(received_at)
ORDER BY (org, toStartOfHour(received_at), request_id)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1;
