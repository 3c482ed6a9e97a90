// Package curate reads training data and checks it before a base model sees it.
//
// Read turns a file (JSONL, JSON, CSV or TSV, in one of the shapes that the
// field uses) into rows, Detect says which shape it is and why, and Check
// refuses what would waste a run or spoil an evaluation: empty completion
// masks, an end-of-turn token that no row trains, truncated completions, empty
// or duplicated rows, and rows that also stand in the golden set. Preview shows
// a row's tokens coloured by mask.
//
// Token ids come from a dlm.Encoder only. The package knows nothing of the
// engine, the store or the project file.
package curate
