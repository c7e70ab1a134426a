package rollup

import (
	"slices"
	"strings"
)

// recompute sums the outcomes of some minutes. The second half of the union brings
// back every row that the rollup has for them, with nothing to add: one whose
// dimensions no longer occur is thereby overwritten with zeros. The buckets are
// described where the table is made.
//
// The first placeholder is the version; those of each filter follow.
const recompute = `
INSERT INTO rollup_minute
SELECT
    org, minute, team, app, key, model, provider, outcome, status,
    sum(calls), sum(input_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(output_tokens), sum(reasoning_tokens),
    toInt64(sum(toInt128(cost_nanos))), toInt64(sum(toInt128(cost_avoided_nanos))),
    arrayMap(i -> sumMap(latency)[toUInt8(i)], range(96)),
    arrayMap(i -> sumMap(first_token)[toUInt8(i)], range(96)),
    toUInt64(?)
FROM
(
    SELECT
        org, toDateTime(toStartOfMinute(received_at), 'UTC') AS minute, team, app, key, model, provider, outcome, status,
        calls, input_tokens, cache_read_tokens, cache_write_5m_tokens + cache_write_1h_tokens AS cache_write_tokens,
        output_tokens, reasoning_tokens, cost_nanos, cost_avoided_nanos,
        map(toUInt8(least(95, greatest(0, ceil(4 * log2(duration_ns / 100000))))), if(duration_ns > 0, calls, 0)) AS latency,
        map(toUInt8(least(95, greatest(0, ceil(4 * log2(first_token_ns / 100000))))), if(first_token_ns > 0, calls, 0)) AS first_token
    FROM requests FINAL
    WHERE received_at >= fromUnixTimestamp64Second(?, 'UTC') AND received_at < fromUnixTimestamp64Second(?, 'UTC') AND {pairs}
    UNION ALL
    SELECT
        org, minute, team, app, key, model, provider, outcome, status,
        0, 0, 0, 0, 0, 0, 0, 0, map(toUInt8(0), toUInt64(0)), map(toUInt8(0), toUInt64(0))
    FROM rollup_minute FINAL
    WHERE minute >= fromUnixTimestamp64Second(?, 'UTC') AND minute < fromUnixTimestamp64Second(?, 'UTC') AND {pairs}
)
GROUP BY org, minute, team, app, key, model, provider, outcome, status`

// statement returns the query that computes the minutes, and its arguments.
func (m minutes) statement(version int64) (string, []any) {
	var orgs []string
	var pairs []any
	for _, t := range m {
		if !slices.Contains(orgs, t.Org) {
			orgs = append(orgs, t.Org)
		}
		pairs = append(pairs, t.Org, t.Minute.Unix())
	}
	filter := []any{m[0].Minute.Unix(), m[len(m)-1].Minute.Unix() + 60}
	for _, o := range orgs {
		filter = append(filter, o)
	}
	filter = append(filter, pairs...)

	text := "org IN (" + placeholders("?", len(orgs)) + ") AND (org, toUnixTimestamp(minute)) IN (" + placeholders("(?, ?)", len(m)) + ")"
	args := append([]any{version}, filter...)
	return strings.ReplaceAll(recompute, "{pairs}", text), append(args, filter...)
}

func placeholders(one string, n int) string {
	return strings.TrimSuffix(strings.Repeat(one+", ", n), ", ")
}
