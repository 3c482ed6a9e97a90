// Package kernel holds the engine's arithmetic: matrix multiplies over packed
// weights, norms, SwiGLU, exponentials and the pool of workers that shares
// them out. It is the only package with assembly.
//
// The main type is Exec: a kernel set (chosen once by what the CPU offers)
// plus a pool of workers. Right-hand sides of multiplies are packed once into
// Panels, left-hand sides are Operands.
//
// Laws that everything here keeps:
//   - Every output element is one chain of operations in a fixed order,
//     whatever the number of rows, the tile, the thread count or the split of
//     the columns. Threads split outputs, never reductions.
//   - Every kernel set gives the same bits as the portable Go set, which is
//     the written reference. Results below the smallest normal float32 are
//     flushed to zero and subnormal arguments count as zero, in every set.
//   - Reductions along a row run in 16 lanes (element i goes to lane i mod 16)
//     that are then added as a fixed tree: lane i += lane i+8, +4, +2, +1.
//
// The package knows slices, shapes and threads. It must not know tokens,
// models, files or adapters.
package kernel

//go:generate go run ./gen
