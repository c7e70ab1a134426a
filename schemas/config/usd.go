package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// USD is an amount of money in nano-dollars, written in YAML as a decimal number
// of dollars, for example 12.50. It is read digit by digit: no float is involved.
type USD int64

const nanosPerUSD = 1_000_000_000

// UnmarshalText reads a decimal number, as ParseUSD does.
func (u *USD) UnmarshalText(text []byte) error {
	v, err := ParseUSD(string(text))
	if err != nil {
		return err
	}
	*u = v
	return nil
}

// MarshalText writes the amount as it is read.
func (u USD) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// String returns the amount in dollars with at least two decimals.
func (u USD) String() string {
	sign, n := "", uint64(u)
	if u < 0 {
		sign, n = "-", -n
	}
	frac := strings.TrimRight(fmt.Sprintf("%09d", n%nanosPerUSD), "0")
	for len(frac) < 2 {
		frac += "0"
	}
	return sign + strconv.FormatUint(n/nanosPerUSD, 10) + "." + frac
}

// ParseUSD reads a decimal number of dollars with at most nine decimals. Its error
// holds at most the first characters of a text that is none.
func ParseUSD(s string) (USD, error) {
	digits := strings.TrimPrefix(s, "-")
	whole, frac, _ := strings.Cut(digits, ".")
	if len(frac) > 9 || !isDigits(whole) || frac != "" && !isDigits(frac) || strings.HasSuffix(digits, ".") {
		return 0, fmt.Errorf("must be an amount in dollars such as 12.50, with at most nine decimals, got %.40q", s)
	}
	w, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || w > math.MaxInt64/nanosPerUSD-1 {
		return 0, fmt.Errorf("must be at most %d dollars, got %.40q", int64(math.MaxInt64/nanosPerUSD-1), s)
	}
	f, _ := strconv.ParseInt((frac + "000000000")[:9], 10, 64)
	v := w*nanosPerUSD + f
	if digits != s {
		v = -v
	}
	return USD(v), nil
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
