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
// Blocks are reference counted, and [Sequence.Fork] shares the full ones: the
// place where prefix reuse (keyed by adapter, since keys and values depend on
// it) goes. The package knows shapes and counts. It must not know tokens,
// adapters, models or text.
package kv
