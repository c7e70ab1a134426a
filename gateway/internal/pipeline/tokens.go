package pipeline

// tokens takes the request's estimated tokens from the limits on tokens of its
// key, app, team and org. What was really used is corrected after the call.
func tokens(r *Request) *Denial {
	n := r.facts.InputTokensEstimated + r.facts.OutputTokensBound
	if d := r.take(r.key.Tokens, n); d != nil {
		return d
	}
	r.tokensAsked, r.tokensTaken = n, len(r.key.Tokens)
	return nil
}

// settleTokens replaces what was taken by what was used.
func (r *Request) settleTokens(used uint64) {
	for _, l := range r.key.Tokens[:r.tokensTaken] {
		l.Adjust(r.now, int64(used)-int64(r.tokensAsked))
	}
	r.tokensTaken = 0
}
