// Package trl is the dlm.Trainer that runs TRL and PEFT (and bitsandbytes, and
// Unsloth where asked for) as a child process in a Python environment of its own.
//
// A job becomes a bundle: a folder that holds everything that the program of
// package program needs, and that it writes its events, checkpoints and adapter
// to (see Bundle). A Place starts the program on a bundle and carries files to
// and fro; it knows nothing of training. The child is detached and outlives dlm:
// the next call with the same working folder attaches to it again, or starts it
// anew from its last checkpoint.
//
// Token ids, completion masks and the order of the rows are dlm's, handed over
// through Options: what was previewed is what is trained. The package knows of
// the base no more than a folder in Hugging Face's layout, and reaches the
// engine only through functions that it is given.
package trl
