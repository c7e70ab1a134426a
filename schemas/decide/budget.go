package decide

import "math"

// Afford says if a hold fits under a soft budget: what is settled, held and asked
// for together must not exceed the cap. All in nano-dollars. A sum that overflows
// does not fit.
func Afford(capNanos, usedNanos, askedNanos int64) bool {
	if usedNanos > 0 && askedNanos > math.MaxInt64-usedNanos {
		return false
	}
	return usedNanos+askedNanos <= capNanos
}

// Balance is what the ledger last said of a budget, and what this process knows
// better: its own part. All in nano-dollars.
type Balance struct {
	// LedgerTotal is settled + held over all replicas, as the ledger counted it.
	LedgerTotal int64
	// LedgerOwn is the part of LedgerTotal that came from this process.
	LedgerOwn int64
	// LiveOwn is the same part as this process counts it, up to this moment.
	LiveOwn int64
}

// Used replaces the ledger's view of this process by the live one. It is true at
// any lag, and a replay of old balances changes nothing. A sum that overflows is
// math.MaxInt64, so that no cap has room for more.
func (b Balance) Used() int64 { return saturatingAdd(b.LedgerTotal-b.LedgerOwn, b.LiveOwn) }

// saturatingAdd adds two numbers of which the second is not negative, and stops at
// math.MaxInt64.
func saturatingAdd(a, b int64) int64 {
	if a > 0 && b > math.MaxInt64-a {
		return math.MaxInt64
	}
	return a + b
}
