-- rollup_minute sums the outcomes of each minute, by the time at which requests came. Its
-- rows are absolute and recomputed from requests whenever an outcome of their (org,
-- minute) arrives; the version is the offset after the last event that caused it, so
-- that replays change nothing. Dimensions that no longer occur (an abandoned request
-- that completed after all) are overwritten with zeros.
--
-- ORDER BY is the row's identity, org and minute first. PARTITION BY is the month.
-- There is no deduplication window: an insert that is repeated replaces itself. Read with FINAL.
--
-- Buckets are the same for ever: of 96, bucket i counts durations up to 100 µs × 2^(i/4)
-- and above the bucket before it; the last one counts all above. Denials that were
-- aggregated have no duration and are in no bucket.
CREATE TABLE IF NOT EXISTS rollup_minute
(
    org                   LowCardinality(String),
    minute                DateTime('UTC'),
    team                  LowCardinality(String),
    app                   LowCardinality(String),
    key                   LowCardinality(String),
    model                 LowCardinality(String),
    provider              LowCardinality(String),
    outcome               LowCardinality(String),
    status                UInt16,
    calls                 UInt64,
    input_tokens          UInt64,
    cache_read_tokens     UInt64,
    cache_write_tokens    UInt64,
    output_tokens         UInt64,
    reasoning_tokens      UInt64,
    cost_nanos            Int64,
    cost_avoided_nanos    Int64,
    latency_buckets       Array(UInt64),
    first_token_buckets   Array(UInt64),
    version               UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(minute)
ORDER BY (org, minute, team, app, key, model, provider, outcome, status)
SETTINGS fsync_after_insert = 1;
