package openai

import (
	"strconv"

	"github.com/tallygate/tallygate/gateway/internal/apierror"
	"github.com/tallygate/tallygate/gateway/internal/llm"
	"github.com/tallygate/tallygate/gateway/internal/scan"
)

// AppendError appends the body of an error answer. An empty message stands for the
// catalogue's text and advice. The SDKs read message, type, param and code, which are
// always there; rule, the id of the rule that fired, is added if it is not empty.
func AppendError(dst []byte, e *apierror.Error, message, param, rule string) []byte {
	dst = append(dst, `{"error":{"message":`...)
	if message == "" {
		message = e.Message + " " + e.Do
	}
	dst = scan.AppendQuoted(dst, message)
	dst = append(dst, `,"type":`...)
	dst = scan.AppendQuoted(dst, e.Type)
	dst = append(dst, `,"param":`...)
	if param == "" {
		dst = append(dst, "null"...)
	} else {
		dst = scan.AppendQuoted(dst, param)
	}
	dst = append(dst, `,"code":`...)
	dst = scan.AppendQuoted(dst, e.Code)
	if rule != "" {
		dst = append(dst, `,"rule":`...)
		dst = scan.AppendQuoted(dst, rule)
	}
	return append(dst, "}}"...)
}

// AppendStreamError appends an error as an event of a stream, after which the stream
// ends, without [DONE]: the SDKs take a stream that just ends for a complete one.
func AppendStreamError(dst []byte, e *apierror.Error, message string) []byte {
	dst = append(dst, "data: "...)
	dst = AppendError(dst, e, message, "", "")
	return append(dst, "\n\n"...)
}

// AppendEvent appends what the client gets of a stream's event: the same bytes, but
// for usage that it did not ask for. Clients that did not ask read choices[0] of
// every chunk, so a chunk with nothing but usage must not reach them. For an event of
// kind EventError see AppendStreamError.
func AppendEvent(dst []byte, ev *llm.Event, req *llm.Request) []byte {
	if req.IncludeUsage {
		return append(dst, ev.Raw...)
	}
	if ev.Kind == llm.EventUsage {
		return dst
	}
	dst = append(dst, ev.Raw[:ev.UsageAt.Start]...)
	return append(dst, ev.Raw[ev.UsageAt.End:]...)
}

// AppendDone appends the stream's terminal event.
func AppendDone(dst []byte) []byte { return append(dst, "data: [DONE]\n\n"...) }

// AppendModels appends the answer to GET /v1/models.
func AppendModels(dst []byte, ids []string, created int64) []byte {
	dst = append(dst, `{"object":"list","data":[`...)
	for i, id := range ids {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendModel(dst, id, created)
	}
	return append(dst, "]}"...)
}

// AppendModel appends the answer to GET /v1/models/{id}. created is in Unix seconds.
func AppendModel(dst []byte, id string, created int64) []byte {
	dst = append(dst, `{"id":`...)
	dst = scan.AppendQuoted(dst, id)
	dst = append(dst, `,"object":"model","created":`...)
	dst = strconv.AppendInt(dst, created, 10)
	return append(dst, `,"owned_by":"tallygate"}`...)
}
