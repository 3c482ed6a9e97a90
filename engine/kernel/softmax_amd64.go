package kernel

import "unsafe"

// softmaxArgs are the arguments of the assembly on blocks of 64 scores.
// Strides are in bytes.
type softmaxArgs struct {
	s      unsafe.Pointer // scores, f32
	lds    int
	p      unsafe.Pointer // weights (bf16), or the weights' gradient (f32)
	ldp    int
	rows   int
	seen   int // columns that the first row sees; each next row more
	m, sum unsafe.Pointer
	delta  unsafe.Pointer
	scale  float32
	_      float32
	more   int
}

// blockFuncs of the sets with VDPBF16PS.
var blocksBF16 = blockFuncs{
	softmax: func(t *softmaxTask) {
		softmax64(&softmaxArgs{s: ptr(t.s), lds: blockCols * 4, p: ptr(t.p.B), ldp: t.p.Stride * 2,
			rows: t.rows, seen: t.seen, m: ptr(t.m), sum: ptr(t.sum), scale: t.scale, more: t.more})
	},
	softmaxBack: func(t *softmaxTask) {
		softmaxBack64(&softmaxArgs{s: ptr(t.s), lds: blockCols * 4, p: ptr(t.dp), ldp: blockCols * 4,
			rows: t.rows, seen: t.seen, m: ptr(t.m), sum: ptr(t.sum), delta: ptr(t.delta), scale: t.scale, more: t.more})
	},
	transposeRound: func(dst []uint16, ldd int, src []float32, lds, vectors int) {
		transposeRound16(&decodeArgs{dst: ptr(dst), src: ptr(src), stride: lds * 4, count: ldd * 2, vectors: vectors})
	},
	roundRows: func(dst []uint16, ldd int, src []float32, lds, rows, vectors int) {
		roundRows16(&decodeArgs{dst: ptr(dst), src: ptr(src), stride: lds * 4, count: ldd * 2, vectors: vectors, bias: int32(rows)})
	},
	pairRows: func(dst, src []uint16, lds, pairs, vectors int) {
		pairRows16(&decodeArgs{dst: ptr(dst), src: ptr(src), stride: lds * 2, count: pairs, vectors: vectors})
	},
	transpose32: transpose32,
	attend:      attendBF16,
}

// transpose32 transposes 16 rows of vectors x 16 values of 32 bits.
func transpose32(dst unsafe.Pointer, ldd int, src unsafe.Pointer, lds, vectors int) {
	transpose32x16(&decodeArgs{dst: dst, src: src, stride: lds, count: ldd, vectors: vectors})
}
