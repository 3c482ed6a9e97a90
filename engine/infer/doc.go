// Package infer runs many sequences at once through one base: continuous
// batching with chunked prefill, a paged cache, sampling, stop conditions, and
// scoring of given completions. Its main function is [Engine.Step]: schedule,
// run, sample. [Engine.Generate] and [Engine.Score] step until their own
// requests are done.
//
// A sequence is its known tokens and how many of them are computed. Prefill,
// decoding, scoring and starting over after its cache blocks were taken away
// are all the same thing: compute more known positions. Which sequences share
// a pass, and how a prompt is cut, changes no bit of any result (engine law 2).
// So may tokens be guessed and verified several a step: a guess changes no bit either.
// Completions that are scored whole and begin alike, the choices of one item,
// share the rows of what they have in common.
//
// [Engine.Step] decides what a step holds by the rules of plan (schedule.go).
// Streams go first; prompts share the rest by tenant (tenant.go), within a budget
// of rows that keeps steps short beside streams ([Budget]). Cache blocks are shared
// by all that begins with the same tokens under the same adapter (prefix.go), and
// kept until their room is needed. So a result depends on its request alone, when
// it comes depends on who else asks, and [Result.Cached] says how much was there.
//
// The package knows ids, adapters, logits, and the bytes of a token. It must
// not know files, chat templates, HTTP or stages, and reads no clock.
package infer
