// Package dlm holds the nouns of the domain-model life cycle and the ports
// through which its stages reach the outside.
//
// A stage turns artifacts into artifacts. What it needs from the world (a
// generator, a trainer, a store) it takes as one of the small interfaces in
// ports.go; drivers implement them and cmd/dlm wires the two together. The
// package does no I/O and imports only the standard library.
//
// Two nouns must not be mixed up: a base model is frozen weights, an adapter is
// a pair of LoRA matrices per projection, bound to one base by its hash. "Model"
// alone names neither.
package dlm
