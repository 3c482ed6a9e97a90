// Package native is the engine behind the ports of the root package: [Open]
// loads a base and returns a [Native], which is a dlm.Generator, dlm.Scorer,
// dlm.Encoder and dlm.Trainer over it.
//
// It is where text becomes ids (by the base's own tokenizer and chat template),
// where adapter folders are loaded, bound to the base and probed (engine laws 7
// and 8), and where requests get their limits. Training and serving go through
// the same methods for ids, so that both see the same tokens.
//
// The package knows the root ports and the engine. It must not know stages,
// the artifact store, HTTP or the command line.
package native
