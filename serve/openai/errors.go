package openai

import (
	"errors"

	"dlm"
)

// Error is an error as OpenAI's clients read it.
type Error struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

// ErrorBody is the body of an answer that is an error, and the event that ends a
// stream that failed.
type ErrorBody struct {
	Error Error `json:"error"`
}

// answer is how a kind of fault looks from outside.
type answer struct {
	status     int
	kind, code string
}

// answers gives each kind of fault its status, type and code. What has no kind
// is nobody's fault but the server's.
var answers = map[dlm.FaultKind]answer{
	dlm.FaultRequest:     {400, "invalid_request_error", ""},
	dlm.FaultUnsupported: {400, "invalid_request_error", "unsupported"},
	dlm.FaultAuth:        {401, "invalid_request_error", "invalid_api_key"},
	dlm.FaultForbidden:   {403, "permission_error", "forbidden"},
	dlm.FaultUnknown:     {404, "invalid_request_error", "model_not_found"},
	dlm.FaultTooLarge:    {413, "invalid_request_error", "request_too_large"},
	dlm.FaultLimit:       {429, "rate_limit_error", "rate_limit_exceeded"},
	dlm.FaultBusy:        {503, "server_error", "service_unavailable"},
	dlm.FaultUpstream:    {502, "server_error", "upstream_error"},
	dlm.FaultTimeout:     {504, "server_error", "timeout"},
}

// Status is the HTTP status of an error.
func Status(err error) int {
	if a, ok := answers[dlm.FaultOf(err)]; ok {
		return a.status
	}
	return 500
}

// ErrorOf is the body that tells a client of an error. What is no [dlm.Fault]
// may hold paths and other things of this machine: the client gets the id of its
// request, under which the log has the rest.
func ErrorOf(err error, id string) ErrorBody {
	a, ok := answers[dlm.FaultOf(err)]
	if !ok {
		return ErrorBody{Error{Message: "internal error; the server's log has it as request " + id, Type: "server_error", Code: filled("internal_error")}}
	}
	e := Error{Message: err.Error(), Type: a.kind, Code: filled(a.code)}
	var f *dlm.Fault
	if errors.As(err, &f) {
		e.Param = filled(f.Param)
		var long *ContextError
		if errors.As(err, &long) {
			e.Code = filled("context_length_exceeded")
		}
	}
	return ErrorBody{e}
}

// filled is null for the empty string, as OpenAI writes it.
func filled(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// refused is a request that can never be answered as it is.
func refused(param, format string, args ...any) error {
	return dlm.Faultf(dlm.FaultRequest, param, format, args...)
}

// unsupported is a field that asks for what cannot be done here.
func unsupported(param, format string, args ...any) error {
	return dlm.Faultf(dlm.FaultUnsupported, param, format, args...)
}

// ContextError is the cause of a fault: prompt and completion do not fit the context.
type ContextError struct{ Text string }

// Error is the text of it.
func (e *ContextError) Error() string { return e.Text }
