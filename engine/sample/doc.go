// Package sample chooses the next token from one row of logits: greedy, or
// drawn at random after bias, penalties, a mask, temperature, top-k, top-p and
// min-p. Its main function is [Sampler.Pick].
//
// Order of operations. Bias and penalties are as in vLLM (Sampler.forward and
// apply_penalties; OpenAI's API reference defines presence and frequency), the
// rest as in transformers' generate (LogitsProcessorList of GenerationMixin).
// vLLM applies min-p before top-k and top-p, which keeps another set only when
// top-p is on too; it also rules tokens out first, which is the same, as nothing
// brings a token back.
//
//  1. bias: l + bias
//  2. repetition penalty, on prompt and completion, each distinct token once:
//     l > 0 ? l / penalty : l * penalty           (RepetitionPenaltyLogitsProcessor)
//     frequency, on the completion:   l - frequency * count
//     presence, on the completion:    l - presence, once
//  3. tokens that may not come (a grammar's mask, ends of turn before their
//     time): minus infinity
//  4. temperature 0: the largest, the lowest id among equals; done
//  5. temperature: l / T                             (TemperatureLogitsWarper)
//  6. top-k: keeps every token at least as likely as the k-th, so ties at the
//     border all stay                                         (TopKLogitsWarper)
//  7. top-p: in falling order of likelihood (lowest id first among equals)
//     keeps tokens while the mass before them is less than p  (TopPLogitsWarper)
//  8. min-p: keeps tokens with at least min_p times the probability of the most
//     likely one                                              (MinPLogitsWarper)
//  9. one draw from what is left, by inversion of the cumulative distribution
//
// Randomness is a counter, not a stream: the draw is a pure function of (seed,
// sequence, position), so it depends neither on the other sequences of a batch
// nor on what was drawn before.
//
// The package knows logits and ids. It must not know models, text or
// sequences' caches; the log-probability of a picked token is that of the
// unmodified distribution, before all of the above (vLLM's raw_logprobs, but for
// a grammar's mask, which vLLM applies before), and is the caller's to compute.
package sample
