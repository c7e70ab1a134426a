-- balances shows what each budget has used in each window, summed from the ledger's
-- entries when it is asked. It is a view, so it has no engine, order or partition, and
-- cannot differ from the entries.
CREATE VIEW IF NOT EXISTS balances AS
SELECT
    org,
    budget,
    window_start,
    window_end,
    sumIf(toInt128(amount_nanos), debit = 'charged') - sumIf(toInt128(amount_nanos), credit = 'charged') AS settled_nanos,
    sumIf(toInt128(amount_nanos), debit = 'held') - sumIf(toInt128(amount_nanos), credit = 'held') AS held_nanos,
    settled_nanos + held_nanos AS used_nanos
FROM ledger_entries FINAL
WHERE budget != ''
GROUP BY org, budget, window_start, window_end;
