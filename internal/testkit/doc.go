// Package testkit holds one conformance suite per port of the root package.
// Every driver runs the suite of the ports it implements, in its own tests, so
// that two drivers of a port can be exchanged. See Store for an example.
//
// It is imported by tests only and knows no driver.
package testkit
