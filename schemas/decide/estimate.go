package decide

// bytesPerToken and tokensPerRequest make the estimate of input tokens for soft
// holds: English text has about four bytes to a token, and a request has some
// tokens of its own. JSON syntax counts too, which errs on the high side.
const (
	bytesPerToken    = 4
	tokensPerRequest = 8
)

// InputTokens estimates the input tokens of a request from the size of its body.
func InputTokens(bodyBytes int) uint64 {
	return uint64(bodyBytes+bytesPerToken-1)/bytesPerToken + tokensPerRequest
}

// OutputTokens is the output that a hold assumes: what the client allows, times
// the number of choices, or else the model's default.
func OutputTokens(clientMax, modelDefault, choices uint64) uint64 {
	per := clientMax
	if per == 0 {
		per = modelDefault
	}
	choices = max(choices, 1)
	if per > (1<<62)/choices {
		return 1 << 62
	}
	return per * choices
}
