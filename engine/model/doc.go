// Package model holds the architectures: one forward pass for training,
// evaluation and serving alike, with its backward pass beside it.
//
// Load builds a Model from a checkpoint; NewPass plans every buffer for a
// number of tokens; Pass.Forward runs segments of token ids, each a whole
// sequence, the next positions of one whose keys and values are cached, or what
// follows another segment of the pass (a Forest makes such trees of sequences
// that begin alike, so that what they share is computed once);
// Pass.LogProbs reads the log-probability of given next tokens; Pass.Backward
// turns gradients of those into gradients of the adapters.
//
// Every row's result is a pure function of the weights, the adapter and the
// tokens before it: no reduction crosses rows, so batch, chunk and thread count
// change no bit. Key blocks of 64 are counted from a sequence's first token.
//
// The package declares the views it needs of adapters (Adapter, LoRA) and of
// the key-value cache (Cache); it must not know files, text, losses or
// optimisers.
package model
