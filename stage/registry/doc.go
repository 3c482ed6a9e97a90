// Package registry says which adapter an alias such as prod points at, and
// moves it. Promote is its main function: it refuses an adapter without a
// passed gate for exactly that adapter, unless it is forced with a reason, and
// both are recorded. The history of an alias is only ever added to.
//
// It works on a dlm.Store and knows nothing of how verdicts are made.
package registry
