// Package decide holds the rules: pure functions of policy, request, counters and
// time. The gateway asks them for each request; replay asks them again. Nothing
// here reads a clock, a network or a random source.
package decide

// Version is recorded with each decision. It changes when the same inputs would
// give another verdict.
const Version = 1
