// Package train turns batches of token ids and completion masks into an adapter.
//
// The main function is Run: plan the memory, then step by step take the next
// examples, run them forward and backward in micro-batches, clip, update,
// evaluate, keep checkpoints, and resume from them. The package must not know
// raw text, chat templates, stages or HTTP.
//
// # What decides the adapter's bytes
//
// The seed, the data in its order, and the settings listed by identity. What
// does not: how a step is cut into micro-batches, packing, recomputation, the
// number of threads, and being cut off and resumed (engine law 6). This holds
// because the examples of a step are put into groups that share a prefix by
// looking at them alone (see groups), the groups into one canonical order (see
// canonical), a micro-batch is a run of whole groups of that order, every gradient
// element is one float32 chain over the tokens in that order, continued from
// micro-batch to micro-batch, and loss and gradient norm are float64 sums in a
// fixed order. Shuffling and dropout come from counter-based generators, so the
// state of "the random generator" is the seed and the step.
//
// Letters: T tokens, V vocabulary, L layers, R rank.
package train
