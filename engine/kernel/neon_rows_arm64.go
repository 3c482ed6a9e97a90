package kernel

import "unsafe"

// neonRowTable is the NEON set's row functions: those of the assembly, each with
// a way back, and the portable ones where there is none.
func neonRowTable() [numRowOps]func(*rowArgs) {
	table := portable.rows
	for op, f := range neonRowFuncs {
		if f != nil {
			table[op] = neonRow(rowOp(op), f)
		}
	}
	return table
}

// exactRow adapts a function that does no arithmetic.
func exactRow(f func(*rowArgs)) func(*rowArgs) uint64 {
	return func(a *rowArgs) uint64 { f(a); return 0 }
}

// neonRow runs f, and the portable function instead where f says that a result
// was flushed (see the generator: arm64 and x86 differ in what they flush).
func neonRow(op rowOp, f func(*rowArgs) uint64) func(*rowArgs) {
	shape := &rowShapes[op]
	return func(a *rowArgs) {
		if shape.readsDst || inPlace(a, shape) {
			neonInPlace(op, f, a)
			return
		}
		var lanes [16]float32
		if a.lanes != nil {
			lanes = *a.lanes
		}
		if f(a) != 0 {
			if a.lanes != nil {
				*a.lanes = lanes
			}
			portable.rows[op](a)
		}
	}
}

// inPlace says whether a function writes over one of its sources.
func inPlace(a *rowArgs, shape *rowShape) bool {
	if shape.dst == 0 {
		return false
	}
	for i, p := range [3]unsafe.Pointer{a.p0, a.p1, a.p2} {
		if i < shape.sources && (p == a.dst || shape.dst2 && p == a.dst2) {
			return true
		}
	}
	return false
}

// neonInPlace is neonRow for functions that use up what they read: it keeps a
// copy, a piece at a time.
func neonInPlace(op rowOp, f func(*rowArgs) uint64, a *rowArgs) {
	const piece = 256
	var kept [2][piece * 4]byte
	var lanes [16]float32
	shape := &rowShapes[op]
	t := *a
	for at := 0; at < a.n; at += piece {
		t.n = min(piece, a.n-at)
		t.dst = unsafe.Add(a.dst, at*shape.dst)
		if shape.dst2 {
			t.dst2 = unsafe.Add(a.dst2, at*shape.dst)
		}
		for i, p := range [3]*unsafe.Pointer{&t.p0, &t.p1, &t.p2} {
			if i < shape.sources {
				*p = unsafe.Add([3]unsafe.Pointer{a.p0, a.p1, a.p2}[i], at*4)
			}
		}
		dst, dst2 := unsafe.Slice((*byte)(t.dst), t.n*shape.dst), unsafe.Slice((*byte)(nil), 0)
		if shape.dst2 {
			dst2 = unsafe.Slice((*byte)(t.dst2), len(dst))
		}
		copy(kept[0][:], dst)
		copy(kept[1][:], dst2)
		if t.lanes != nil {
			lanes = *t.lanes
		}
		if f(hide(&t)) != 0 {
			copy(dst, kept[0][:])
			copy(dst2, kept[1][:])
			if t.lanes != nil {
				*t.lanes = lanes
			}
			portable.rows[op](hide(&t))
		}
	}
}
