package pipeline

import "github.com/tallygate/tallygate/gateway/internal/apierror"

// Denial is why a request ends before its provider is called. It is a value with
// its reason, never an error: errors are for faults.
type Denial struct {
	Error *apierror.Error
	// Rule is the id of the rule that fired; empty if it was none.
	Rule string
	// Message is what the client is told; empty for the catalogue's text.
	Message string
	// Param is the request's field that is wrong; empty if it is none.
	Param string
	// RetryAfterMs is how long to wait; 0 if waiting is no use or not known.
	RetryAfterMs uint64
}

func (r *Request) deny(e *apierror.Error, rule, message string) *Denial {
	r.denial = Denial{Error: e, Rule: rule, Message: message}
	return &r.denial
}

func (d *Denial) text() string {
	if d.Message != "" {
		return d.Message
	}
	return d.Error.Message
}
