-- events is the archive of the requests topic: one row per record, with its exact
-- bytes and its position. Kafka may drop only what stands here.
--
-- ORDER BY is the record's position: it is the row's identity, so a record that is
-- inserted again replaces itself, and a range of the log is read back in order. A
-- record that was written twice to Kafka is two rows, as in the log; GROUP BY (spool,
-- partition, pseq) makes them one.
-- PARTITION BY is the month of the append: batches follow the log, so nearly all of
-- them have one part, and a month is dropped as a whole.
-- ReplacingMergeTree is the backstop behind the deduplication window, which forgets:
-- read with FINAL. fsync_after_insert, because Kafka's offset is committed after it.
CREATE TABLE IF NOT EXISTS events
(
    topic          LowCardinality(String),
    partition      UInt32,
    `offset`       UInt64 CODEC(Delta, ZSTD(1)),
    appended_at    DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    spool          UInt64 CODEC(ZSTD(1)),
    pseq           UInt64 CODEC(Delta, ZSTD(1)),
    id             UUID,
    occurred_at    DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    org            LowCardinality(String),
    kind           LowCardinality(String),
    schema_version UInt32,
    bytes          String CODEC(ZSTD(3))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(appended_at)
ORDER BY (topic, partition, `offset`)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1;
