// Package kv holds the keys and values of sequences in pages: blocks of 64
// positions over all layers and heads, taken from one pool with a byte budget
// and listed in a table per sequence. Its main functions are [NewPool],
// [Sequence.Grow] and [Sequence.Blocks].
//
// A block of 64 positions is also the unit in which attention walks the keys
// (engine law 2), so a page is handed to the multiply as it lies in memory:
//
//	keys    [D/2][64][2] bf16, pairs along d;           f32: [D][64]
//	values  [64/2][D][2] bf16, pairs along positions;   f32: [64][D]
//
// Blocks are reference counted. A full block may be published under a [Key]
// ([Sequence.Publish]); others that need the same positions adopt it
// ([Sequence.Adopt]) instead of computing them. When its last sequence lets go it
// is kept, counts as free, and gives way to new blocks, least recently used first.
// [Sequence.Fork] shares the full blocks of a sequence without keys.
//
// The package knows shapes, counts and opaque keys. It must not know tokens,
// adapters, models or text.
package kv
