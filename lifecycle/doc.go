// Package lifecycle runs a project: it reads dlm.yaml (Load), keeps golden sets
// (OpenGolden), and brings the graph of stages up to date (Graph.Run): what
// changed runs, what was cut off is resumed, the rest is skipped, each with its
// reason.
//
// The work of a stage is a function given by cmd/dlm; this package decides
// whether it runs, with which inputs, and records what came of it in a
// dlm.Store. It imports the stages and the root package, never a driver or the
// engine, and prints nothing by itself.
package lifecycle
