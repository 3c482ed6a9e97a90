// Package card writes the model card of an adapter: what the Hub shows as its
// page, Markdown below a head of YAML. The main function is Card.Markdown, a pure
// function of what an adapter was made from and how it was judged; Card.Lineage
// is the same for machines. What is not known is said to be unknown.
//
// The package reads no store and no files: who calls it brings the artifacts.
package card
