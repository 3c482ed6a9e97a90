// Package loss turns the log-probabilities of target tokens into a loss and its
// derivative by each of them: one method per file, each opening with its
// formula, sign, reduction and source.
//
// The main functions are SFT and SFTGrad. The package knows log-probabilities and counts; it
// must not know models, adapters, files or how tokens were packed.
package loss
