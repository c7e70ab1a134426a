package pipeline

import "github.com/tallygate/tallygate/gateway/internal/apierror"

// Operations that are served. Names and routes stand in events and metrics.
var (
	Chat   = &Operation{Name: "chat", Route: "/v1/chat/completions", serve: (*Request).chat}
	Models = &Operation{Name: "models", Route: "/v1/models", serve: (*Request).models}
	Model  = &Operation{Name: "model", Route: "/v1/models/{model}", serve: (*Request).oneModel}
	Usage  = &Operation{Name: "usage", Route: "/v1/usage", serve: (*Request).usage}
)

// Operations that only say no, after the caller was identified.
var (
	NoRoute   = &Operation{Name: "none", refused: apierror.RouteNotFound}
	NoMethod  = &Operation{Name: "none", refused: apierror.MethodNotAllowed}
	NotServed = &Operation{Name: "none", refused: apierror.NotImplemented}
	BadTarget = &Operation{Name: "none", refused: apierror.BadRequest}
)
