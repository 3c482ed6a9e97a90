// Package gate decides whether a candidate is no worse than a baseline by more
// than a margin: a paired test of non-inferiority on the same golden items.
//
// Main function: Decide. Exit maps a verdict and the project's policy to an exit
// code. It knows two arms and thresholds; it must not know how completions were
// made or scored.
package gate
