// Package proc reads what the operating system knows of processes, their own and
// others': processor time, memory, who listens where, and where they may run.
package proc

import "time"

// Usage is what a process has used.
type Usage struct {
	// CPU is user and system time of all threads since the process began.
	CPU time.Duration
	// RSSBytes is the memory that is resident now.
	RSSBytes int64
}

// Busy is the processor time of the whole machine since it began, summed over processors.
type Busy struct {
	Used, Total time.Duration
}

// Since returns the share of the machine that was used since an earlier reading, 0 to 1.
func (b Busy) Since(earlier Busy) float64 {
	if b.Total <= earlier.Total {
		return 0
	}
	return float64(b.Used-earlier.Used) / float64(b.Total-earlier.Total)
}
