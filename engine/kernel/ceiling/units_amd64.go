package ceiling

import "golang.org/x/sys/cpu"

// multiplyLoop returns a unit's loop and the operations of one time round.
func multiplyLoop(u Unit) (loop func(*loopArgs), flops float64) {
	switch x := &cpu.X86; {
	case u == BF16 && x.HasAVX512F && x.HasAVX512BF16:
		return dotBF16x32, 24 * 64
	case u == F32x16 && x.HasAVX512F:
		return fma32x16, 24 * 32
	case u == F32x8 && x.HasAVX2 && x.HasFMA:
		return fma32x8, 14 * 16
	}
	return nil, 0
}

// streamLoop returns the widest loop that reads, copies or updates.
func streamLoop(kind string) func(*loopArgs) {
	wide, narrow := read512, read256
	if kind != "read" {
		wide, narrow = copy512, copy256
	}
	switch {
	case cpu.X86.HasAVX512F:
		return wide
	case cpu.X86.HasAVX2:
		return narrow
	}
	return nil
}
