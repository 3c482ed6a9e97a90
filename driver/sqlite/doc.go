// Package sqlite keeps artifacts, runs and aliases of a project in one folder:
// a SQLite database beside content-addressed blobs. It implements dlm.Store.
//
// Start with Open. The folder (usually .dlm in the project) holds
//
//	dlm.db                     SQLite in WAL mode: what exists and how it came to be
//	blobs/sha256/ab/<hex>      file contents, named by their own hash, read-only
//	trees/<hex>/               artifacts laid out as folders (see Materialise)
//	runs/<id>/                 working folders of runs, owned by whoever runs them
//	tmp/                       files being written; anything in here may be deleted
//
// An artifact's ID is the SHA-256 of a canonical manifest of its kind and files
// (see manifest.go), so equal content has an equal ID on every machine. A second
// Put of equal content keeps the first artifact, name and lineage included, and
// adds nothing: the lineage says how the content first came to be. How it was
// made again stands in the runs, which list their inputs and outputs.
//
// Every write is atomic: blobs get a temporary name, are synced, renamed, and
// their folder synced; only then does one database transaction name them. A
// process that dies in between leaves at most an unnamed blob. Several processes
// may use one store; WAL needs a local disk (not a network file system).
//
// The package knows nothing of project files, stages or the engine.
package sqlite
