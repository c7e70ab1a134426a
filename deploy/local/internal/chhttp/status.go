package chhttp

import (
	"errors"
	"net/http"

	"github.com/tallygate/tallygate/deploy/local/internal/chdb"
)

// statuses are the HTTP statuses of error codes, as a ClickHouse server chooses
// them (exceptionCodeToHTTPStatus in its source). All others are 500.
var statuses = map[int]int{
	194: http.StatusUnauthorized, // REQUIRED_PASSWORD

	192: http.StatusForbidden, // UNKNOWN_USER
	193: http.StatusForbidden, // WRONG_PASSWORD
	512: http.StatusForbidden, // SET_NON_GRANTED_ROLE
	516: http.StatusForbidden, // AUTHENTICATION_FAILED

	6:   http.StatusBadRequest, // CANNOT_PARSE_TEXT
	25:  http.StatusBadRequest, // CANNOT_PARSE_ESCAPE_SEQUENCE
	26:  http.StatusBadRequest, // CANNOT_PARSE_QUOTED_STRING
	27:  http.StatusBadRequest, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
	36:  http.StatusBadRequest, // BAD_ARGUMENTS
	38:  http.StatusBadRequest, // CANNOT_PARSE_DATE
	41:  http.StatusBadRequest, // CANNOT_PARSE_DATETIME
	53:  http.StatusBadRequest, // TYPE_MISMATCH
	62:  http.StatusBadRequest, // SYNTAX_ERROR
	72:  http.StatusBadRequest, // CANNOT_PARSE_NUMBER
	117: http.StatusBadRequest, // INCORRECT_DATA
	167: http.StatusBadRequest, // TOO_DEEP_AST
	168: http.StatusBadRequest, // TOO_BIG_AST
	427: http.StatusBadRequest, // CANNOT_COMPILE_REGEXP

	46:  http.StatusNotFound, // UNKNOWN_FUNCTION
	47:  http.StatusNotFound, // UNKNOWN_IDENTIFIER
	50:  http.StatusNotFound, // UNKNOWN_TYPE
	56:  http.StatusNotFound, // UNKNOWN_STORAGE
	60:  http.StatusNotFound, // UNKNOWN_TABLE
	63:  http.StatusNotFound, // UNKNOWN_AGGREGATE_FUNCTION
	73:  http.StatusNotFound, // UNKNOWN_FORMAT
	78:  http.StatusNotFound, // UNKNOWN_TYPE_OF_QUERY
	81:  http.StatusNotFound, // UNKNOWN_DATABASE
	115: http.StatusNotFound, // UNKNOWN_SETTING
	336: http.StatusNotFound, // UNKNOWN_DATABASE_ENGINE
	511: http.StatusNotFound, // UNKNOWN_ROLE

	229: http.StatusRequestEntityTooLarge, // QUERY_IS_TOO_LARGE
	48:  http.StatusNotImplemented,        // NOT_IMPLEMENTED
	76:  http.StatusServiceUnavailable,    // CANNOT_OPEN_FILE
	209: http.StatusServiceUnavailable,    // SOCKET_TIMEOUT
	439: http.StatusServiceUnavailable,    // CANNOT_SCHEDULE_TASK
	159: http.StatusRequestTimeout,        // TIMEOUT_EXCEEDED
}

func httpStatus(code int) int {
	if s, ok := statuses[code]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// asException returns the error as one of ClickHouse's.
func asException(err error) *chdb.Exception {
	var e *chdb.Exception
	if errors.As(err, &e) {
		return e
	}
	return chdb.NewException(1002, "UNKNOWN_EXCEPTION", "%v", err)
}
