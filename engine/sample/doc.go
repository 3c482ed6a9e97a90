// Package sample chooses the next token from one row of logits: greedy, or
// drawn at random after temperature, top-k, top-p, min-p and a repetition
// penalty. Its main function is [Sampler.Pick].
//
// Order of operations, as in transformers' generate (LogitsProcessorList of
// GenerationMixin; vLLM differs in that it applies min-p before top-k and
// top-p, which keeps another set only when top-p is on too):
//
//  1. repetition penalty, on prompt and completion, each distinct token once:
//     l > 0 ? l / penalty : l * penalty           (RepetitionPenaltyLogitsProcessor)
//  2. temperature 0: the largest logit, the lowest id among equals; done
//  3. temperature: l / T                             (TemperatureLogitsWarper)
//  4. top-k: keeps every token at least as likely as the k-th, so ties at the
//     border all stay                                         (TopKLogitsWarper)
//  5. top-p: in falling order of likelihood (lowest id first among equals)
//     keeps tokens while the mass before them is less than p  (TopPLogitsWarper)
//  6. min-p: keeps tokens with at least min_p times the probability of the most
//     likely one                                              (MinPLogitsWarper)
//  7. one draw from what is left, by inversion of the cumulative distribution
//
// Randomness is a counter, not a stream: the draw is a pure function of (seed,
// sequence, position), so it depends neither on the other sequences of a batch
// nor on what was drawn before.
//
// The package knows logits and ids. It must not know models, text or
// sequences' caches; the log-probability of a picked token is that of the
// unmodified distribution and is the caller's to compute.
package sample
