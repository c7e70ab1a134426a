// Package apierror is the catalogue of errors that clients can get from the
// gateway: one stable code each, with status, text and what to do. The page
// docs/errors.md is made from it.
package apierror

// Error is an entry of the catalogue.
type Error struct {
	// Code is stable; it stands in answers, events and metrics.
	Code string
	// Status is the HTTP status.
	Status int
	// Type is the OpenAI dialect's error type.
	Type string
	// Message is the text, unless the place of the error knows better.
	Message string
	// Do says what the reader can do about it.
	Do string
	// NoRetry tells SDKs that trying again is of no use, though the status says otherwise.
	NoRetry bool
}

// Types of the OpenAI dialect.
const (
	typeInvalid = "invalid_request_error"
	typeServer  = "server_error"
	typeRate    = "rate_limit_exceeded"
	typeQuota   = "insufficient_quota"
)

// The catalogue.
var (
	BadRequest = &Error{Code: "invalid_request", Status: 400, Type: typeInvalid, Message: "The request is invalid.",
		Do: "Correct the named field and send the request again."}
	NotJSON = &Error{Code: "invalid_json", Status: 400, Type: typeInvalid, Message: "The request body is not valid JSON.",
		Do: "Send a JSON object with Content-Type: application/json."}
	MissingKey = &Error{Code: "missing_api_key", Status: 401, Type: typeInvalid, Message: "No API key was given.",
		Do: "Send your Tallygate key as Authorization: Bearer tg_live_…"}
	InvalidKey = &Error{Code: "invalid_api_key", Status: 401, Type: typeInvalid, Message: "The API key is not known.",
		Do: "Check for typos; ask your administrator for a Tallygate key. A provider's own key does not work here."}
	ExpiredKey = &Error{Code: "expired_api_key", Status: 401, Type: typeInvalid, Message: "The API key has expired.",
		Do: "Ask your administrator for a new key."}
	DisabledKey = &Error{Code: "disabled_api_key", Status: 401, Type: typeInvalid, Message: "The API key is disabled.",
		Do: "Ask your administrator."}
	ModelNotFound = &Error{Code: "model_not_found", Status: 404, Type: typeInvalid, Message: "The model does not exist or this key may not use it.",
		Do: "List the models of your key with GET /v1/models."}
	RouteNotFound = &Error{Code: "route_not_found", Status: 404, Type: typeInvalid, Message: "There is no such path.",
		Do: "See docs/api.md for the paths that are served."}
	MethodNotAllowed = &Error{Code: "method_not_allowed", Status: 405, Type: typeInvalid, Message: "The path does not take this method.",
		Do: "See docs/api.md; the Allow header names the methods."}
	IdempotencyBusy = &Error{Code: "idempotency_in_progress", Status: 409, Type: typeInvalid, Message: "A request with this Idempotency-Key is still running.",
		Do: "Wait for its answer, or try again later."}
	IdempotencyReused = &Error{Code: "idempotency_key_reused", Status: 422, Type: typeInvalid, Message: "This Idempotency-Key was used with another request.",
		Do: "Use a new Idempotency-Key for each different request."}
	BodyTooLarge = &Error{Code: "request_too_large", Status: 413, Type: typeInvalid, Message: "The request body is too large.",
		Do: "Send less, or ask for a higher gateway.body_limit_bytes."}
	HeadersTooLarge = &Error{Code: "headers_too_large", Status: 431, Type: typeInvalid, Message: "The request's headers are too large.",
		Do: "Send fewer headers, or ask for a higher gateway.header_limit_bytes."}
	RequestTimeout = &Error{Code: "request_timeout", Status: 408, Type: typeInvalid, Message: "The request did not arrive in time.",
		Do: "Send the request faster, or ask for a higher gateway.read_timeout."}
	RateLimited = &Error{Code: "rate_limit_exceeded", Status: 429, Type: typeRate, Message: "A rate limit is reached.",
		Do: "Wait as long as Retry-After says; GET /v1/usage shows the limits of your key."}
	BudgetSpent = &Error{Code: "insufficient_quota", Status: 429, Type: typeQuota, Message: "A budget is spent.",
		Do: "Wait for the budget's next window or ask your administrator; GET /v1/usage shows what is left.", NoRetry: true}
	BudgetUnknown = &Error{Code: "budget_unavailable", Status: 503, Type: typeServer, Message: "The balances of this key's budgets are not known yet.",
		Do: "Try again in a few seconds."}
	NotImplemented = &Error{Code: "not_implemented", Status: 501, Type: typeInvalid, Message: "This API is not served yet.",
		Do: "See docs/api.md for the paths that are served.", NoRetry: true}
	Internal = &Error{Code: "internal_error", Status: 500, Type: typeServer, Message: "The gateway failed.",
		Do: "Try again; if it stays, give the x-request-id to your administrator."}
	NoTarget = &Error{Code: "no_target", Status: 503, Type: typeServer, Message: "The model has no usable target.",
		Do: "Ask your administrator: the model's provider has no credential on this gateway, or was removed.", NoRetry: true}
	UpstreamFailed = &Error{Code: "upstream_error", Status: 502, Type: typeServer, Message: "The provider failed.",
		Do: "Try again; if it stays, give the x-request-id to your administrator."}
	UpstreamAuth = &Error{Code: "upstream_auth_error", Status: 502, Type: typeServer, Message: "The provider refused the gateway's credential.",
		Do: "Ask your administrator to check the provider's credential.", NoRetry: true}
	UpstreamInvalid = &Error{Code: "upstream_invalid_request", Status: 400, Type: typeInvalid, Message: "The provider refused the request.",
		Do: "Correct what the message names."}
	UpstreamModel = &Error{Code: "upstream_model_not_found", Status: 404, Type: typeInvalid, Message: "The provider does not know the model.",
		Do: "Ask your administrator to check the model's target."}
	UpstreamRate = &Error{Code: "upstream_rate_limited", Status: 429, Type: typeRate, Message: "The provider's rate limit is reached.",
		Do: "Wait as long as Retry-After says."}
	UpstreamQuota = &Error{Code: "upstream_quota", Status: 503, Type: typeServer, Message: "The provider's quota of this installation is spent.",
		Do: "Ask your administrator to check the provider's account.", NoRetry: true}
	UpstreamOverloaded = &Error{Code: "upstream_overloaded", Status: 503, Type: typeServer, Message: "The provider is overloaded.",
		Do: "Try again later."}
	UpstreamTimeout = &Error{Code: "upstream_timeout", Status: 504, Type: typeServer, Message: "The provider did not answer in time.",
		Do: "Try again, or ask for a higher gateway.upstream timeout."}
	Saturated = &Error{Code: "gateway_saturated", Status: 503, Type: typeServer, Message: "The gateway has no free connection to the provider.",
		Do: "Try again later; raise gateway.upstream.connection_limit."}
	SpoolFull = &Error{Code: "spool_full", Status: 503, Type: typeServer, Message: "The gateway cannot record calls at present and takes none.",
		Do: "Try again later. Administrators: check that Kafka is reachable, or raise spool.quota_bytes."}
	TooManyConnections = &Error{Code: "too_many_connections", Status: 503, Type: typeServer, Message: "The gateway has as many connections as it takes.",
		Do: "Use fewer connections, or try again later; raise gateway.connection_limit."}
	NotReady = &Error{Code: "not_ready", Status: 503, Type: typeServer, Message: "The gateway has not read its policy yet.",
		Do: "Try again in a few seconds. Administrators: check that Kafka is reachable."}
	Draining = &Error{Code: "draining", Status: 503, Type: typeServer, Message: "The gateway is shutting down.",
		Do: "Try again: another replica will answer."}
)

// All lists the catalogue, ordered by status, then code.
func All() []*Error {
	return []*Error{
		NotJSON, BadRequest, UpstreamInvalid,
		DisabledKey, ExpiredKey, InvalidKey, MissingKey,
		ModelNotFound, RouteNotFound, UpstreamModel,
		MethodNotAllowed, RequestTimeout, IdempotencyBusy, BodyTooLarge, IdempotencyReused,
		BudgetSpent, RateLimited, UpstreamRate, HeadersTooLarge,
		Internal, NotImplemented,
		UpstreamAuth, UpstreamFailed,
		BudgetUnknown, Draining, Saturated, NoTarget, NotReady, SpoolFull, TooManyConnections, UpstreamOverloaded, UpstreamQuota,
		UpstreamTimeout,
	}
}
