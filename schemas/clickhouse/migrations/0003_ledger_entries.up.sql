-- ledger_entries is the double entry of the ledger: each row moves amount_nanos from the
-- credit account to the debit account, within one budget and window, so that the sums of
-- debits and credits are equal by construction, for every org, budget and request.
--
--   entry        debit      credit
--   hold         held       allowance  a request was admitted
--   release      allowance  held       its hold ended
--   charge       charged    allowance  it completed; overdraft if it cost more than its hold
--   provisional  charged    allowance  its hold ended unheard of and is charged in full
--   correction   allowance  charged    it completed after all: takes the provisional back
--   cost         spend      provider:… what providers are owed, once per request, with no budget
--
-- What a budget has used is charged + held; what a call cost is 'cost'. See the view balances.
-- (partition, offset, n) is the identity of a row: the ledger is a pure fold over its
-- partition, so that the same entry is always made at the same place, whoever makes it.
-- ORDER BY begins with what is asked for, one budget's window, and ends in the identity.
-- PARTITION BY is the month of the append, which follows the log.
-- Read with FINAL. Sum as sum(toInt128(amount_nanos)).
CREATE TABLE IF NOT EXISTS ledger_entries
(
    org          LowCardinality(String),
    budget       LowCardinality(String),
    -- The total window goes from the epoch to the end of time.
    window_start DateTime64(9, 'UTC'),
    window_end   DateTime64(9, 'UTC'),
    request_id   UUID,
    entry        LowCardinality(String),
    overdraft    Bool,
    debit        LowCardinality(String),
    credit       LowCardinality(String),
    amount_nanos Int64,
    spool        UInt64,
    pseq         UInt64,
    partition    UInt32,
    `offset`     UInt64 CODEC(Delta, ZSTD(1)),
    n            UInt16,
    appended_at  DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(appended_at)
ORDER BY (org, budget, window_start, partition, `offset`, n)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1;
