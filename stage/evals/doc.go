// Package evals asks every question of a golden set to every arm (a base, an
// adapter, or no model at all), scores the completions, and reports the scores
// with confidence intervals and every sample kept.
//
// Main function: Run. Around it: ReadGolden reads the golden set, New makes a
// scorer from its settings, NewArm an arm, and WriteJSON, WriteHTML and
// WriteTable render the report. It reaches models only through the Generator
// and Scorer ports and must not know how a completion is made, where artifacts
// are stored, or what a gate will decide from the report.
package evals
