package kernel

import "unsafe"

// decodeArgs are the arguments of the assembly that unpacks weights.
type decodeArgs struct {
	dst, src unsafe.Pointer
	table    unsafe.Pointer
	count    int // blocks, pairs or groups
	stride   int // bytes of src from one to the next
	vectors  int // of 16 columns
	bias     int32
	_        int32
}

// Tables of 4-bit codes: bf16 twice over (the lookup uses five index bits) and f32.
var (
	tableQ4, tableQ4Min       [32]uint16
	tableQ4F32, tableQ4MinF32 [16]float32
)

func init() {
	for i := range 16 {
		tableQ4F32[i], tableQ4MinF32[i] = float32(i-8), float32(i)
		tableQ4[i], tableQ4Min[i] = BF16FromF32(float32(i-8)), BF16FromF32(float32(i))
		tableQ4[i+16], tableQ4Min[i+16] = tableQ4[i], tableQ4Min[i]
	}
}

// codeTable is the bf16 table of format f, nil for 8-bit codes.
func codeTable(f Format) unsafe.Pointer {
	switch f {
	case FormatQ4:
		return unsafe.Pointer(&tableQ4)
	case FormatQ4Min:
		return unsafe.Pointer(&tableQ4Min)
	}
	return nil
}

func codeTableF32(f Format) unsafe.Pointer {
	switch f {
	case FormatQ4:
		return unsafe.Pointer(&tableQ4F32)
	case FormatQ4Min:
		return unsafe.Pointer(&tableQ4MinF32)
	}
	return nil
}

// decodePairs unpacks blocks of a quantised panel to bf16 codes in s.w.
func decodePairs(s *scratch, w *Panels, panel, block, count int) {
	s.dec = decodeArgs{dst: ptr(s.w), src: ptr(w.blockAt(panel, block)), table: codeTable(w.Format), count: count, stride: w.block}
	if w.Format == FormatQ8 {
		decodeQ8(&s.dec)
		return
	}
	decodeQ4(&s.dec)
}

// decodeF32 unpacks blocks of a quantised panel to f32 codes in dst, the odd
// value of a pair of k first.
func decodeF32(s *scratch, dst unsafe.Pointer, w *Panels, panel, block, count int) {
	s.dec = decodeArgs{dst: dst, src: ptr(w.blockAt(panel, block)), count: count, stride: w.block}
	switch w.Format {
	case FormatQ8:
		decodeQ8F32(&s.dec)
		return
	case FormatQ4:
		s.dec.bias = 8
	}
	decodeQ4F32(&s.dec)
}

// widenPanel widens pairs of a bf16 panel (stride bytes from pair to pair) to
// f32 in dst, the odd value of a pair first.
func widenPanel(s *scratch, dst unsafe.Pointer, src unsafe.Pointer, pairs, stride, vectors int) {
	s.dec = decodeArgs{dst: dst, src: src, count: pairs, stride: stride, vectors: vectors}
	widenPairs(&s.dec)
}
