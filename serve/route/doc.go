// Package route knows what a model's name means at this moment, and which server
// behind the gateway answers. [New] makes a [Catalog], the gateway's Router;
// [NewPool] makes one generator of several replicas of an upstream.
//
// Names come from five places, which may not clash: bases, folders named at the
// start (flags), folders named while it runs (kept in a file, and there again
// after a restart), the project's store, and upstreams' own models. The store is
// read about once a second, because other processes move aliases in it. Before an
// alias moves here its adapter is brought into memory; until then, and if that
// fails, the alias means what it meant. A request keeps the target that it got.
//
//	NAME           its alias prod, or a share of the time canary; else its only version
//	NAME@ALIAS     what the alias points at
//	NAME@DIGEST    one version, by its digest or the beginning of it
//
// The package knows nothing of HTTP, and of engines only the ports.
package route
