package upstream

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/valyala/fasthttp"

	"github.com/tallygate/tallygate/gateway/internal/provider"
)

// Error is a failed call, understood.
type Error struct {
	Class provider.Class
	// Err is the cause; it holds nothing that a client or a provider sent.
	Err error
}

func (e *Error) Error() string {
	return "call to the provider failed (" + string(e.Class) + "): " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errors that callers tell apart.
var (
	// ErrAborted says that Abort was called.
	ErrAborted = &Error{Class: provider.ClassClientClosed, Err: errors.New("the call was aborted")}
	// ErrCut says that the answer ended before its end.
	ErrCut = &Error{Class: provider.ClassCut, Err: io.ErrUnexpectedEOF}
	// ErrSaturated says that the connection limit is reached.
	ErrSaturated = &Error{Class: provider.ClassConnect, Err: errors.New("no free connection; possible solutions: raise gateway.upstream.connection_limit")}

	errChunk = &Error{Class: provider.ClassGarbage, Err: errors.New("broken chunked encoding")}
)

// failed classifies an error of a connection that was open.
func failed(err error, answering bool) error {
	var small *fasthttp.ErrSmallBuffer
	var timeout net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return &Error{Class: provider.ClassTimeout, Err: os.ErrDeadlineExceeded}
	case errors.As(err, &small):
		return &Error{Class: provider.ClassGarbage, Err: errors.New("the answer's head is too large")}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		if answering {
			return ErrCut
		}
		return &Error{Class: provider.ClassServer, Err: errors.New("the connection was closed before an answer came")}
	}
	if answering {
		// What cannot be parsed is not quoted: it may hold anything.
		return &Error{Class: provider.ClassGarbage, Err: errors.New("the answer is not HTTP/1.1")}
	}
	return &Error{Class: provider.ClassServer, Err: err}
}
