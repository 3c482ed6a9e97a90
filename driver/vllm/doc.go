// Package vllm serves a base and its adapters through vLLM: [Open] starts one as
// a child process, or takes one that runs, and returns an [Engine], which is a
// dlm.Generator and dlm.Scorer.
//
// There is one tokenizer and one chat template: the base's own, behind a
// dlm.Codec. vLLM is sent token ids and answers with token ids; it makes no text,
// adds no token and applies no default of its own. Adapters are loaded at run
// time under a name made from their content, and each is asked the text of its
// probe before it answers anything else: vLLM's log-probabilities must be the
// adapter's, not the base's (engine law 8).
//
// The package knows the root ports. It must not know stages, other drivers or
// the command line.
package vllm
