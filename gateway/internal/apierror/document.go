package apierror

import (
	"fmt"
	"strings"
)

//go:generate go run ./cmd/catalogue ../../../docs/errors.md

// Document is the page docs/errors.md.
func Document() string {
	var b strings.Builder
	b.WriteString(`# Errors

<!-- Made from gateway/internal/apierror by "go generate ./internal/apierror" in gateway/; do not edit. -->

Every error answer has the dialect's own form, so that official SDKs raise their own error classes. In the OpenAI dialect:

` + "```json" + `
{"error": {"message": "…", "type": "insufficient_quota", "param": null, "code": "insufficient_quota", "rule": "…"}}
` + "```" + `

- ` + "`code`" + ` is stable: it is also in events and metrics. ` + "`message`" + ` may name particulars and may change.
- ` + "`param`" + ` names the field of the request that is wrong, or is null. ` + "`rule`" + ` is there if a rule refused the call: a limit's or a budget's id.
- ` + "`Retry-After`" + ` (seconds) is sent where the wait is known. ` + "`x-should-retry: false`" + ` tells SDKs not to try again by themselves; it is
  sent for the errors marked "no retry".
- Give the ` + "`x-request-id`" + ` of the answer when you ask for help.
- In a stream that has begun, the error is an event (` + "`data: {\"error\": …}`" + `), and the stream ends without ` + "`[DONE]`" + `.

| status | code | type | meaning | what to do |
|--:|---|---|---|---|
`)
	for _, e := range All() {
		do := e.Do
		if e.NoRetry {
			do += " (no retry)"
		}
		fmt.Fprintf(&b, "| %d | `%s` | `%s` | %s | %s |\n", e.Status, e.Code, e.Type, cell(e.Message), cell(do))
	}
	return b.String()
}

// cell makes text fit into a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
