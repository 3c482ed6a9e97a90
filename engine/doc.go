// Package engine is the native engine: pure Go with SIMD kernels, no cgo. Its
// packages turn bytes into token ids (tokenizer), conversations into ids and a
// completion mask (chat), files into tensors (weights), and tensors into
// log-probabilities and gradients (kernel, model, lora, loss, optim), which
// train and infer drive. The engine knows nothing of domains, stages or HTTP,
// and imports nothing above itself.
//
// The laws that every package here keeps stand in docs/ARCHITECTURE.md.
//
// Dimensions, used in every comment on a shape:
//
//	B  examples in a batch       H  query heads
//	T  tokens of a sequence      K  key-value heads (in multiplies: the reduced dimension)
//	N  rows of a pass (all tokens of all segments; in multiplies: output columns)
//	C  channels of the residual  D  head size
//	F  feed-forward channels     R  adapter rank
//	V  vocabulary                G  query heads per key-value head (H / K)
//	L  layers
package engine
