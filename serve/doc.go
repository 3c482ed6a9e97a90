// Package serve is the gateway: it answers OpenAI's HTTP API from any
// [dlm.Generator]. Its main function is [New], which returns an http.Handler.
//
// A request goes one way: [Guard] says who asks and what they may have, [Router]
// says what the model's name means at this moment, the generator answers, and
// [Observer] counts. Each has a package below this one (tenant, route, watch)
// and may be replaced. openai holds the wire format, without HTTP or engines.
//
// The package must not know which engine answers, nor read the store.
package serve
