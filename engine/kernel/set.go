package kernel

import "unsafe"

// set is a kernel set: the functions that differ between CPUs. A new set fills
// in a value of this type and is listed in archEntries; what it leaves nil is
// taken from the portable set.
//
// Multiply functions get one panel (or 64 columns) and some rows; splitting
// over threads, chunking and argument checks are common to all sets.
type set struct {
	name, uses string

	panel  func(s *scratch, t *panelTask)  // MatMul
	panelT func(s *scratch, t *panelTTask) // MatMulT
	halves func(f Format, rows int) bool   // panel can do half a panel; nil: never
	block  func(dst []float32, ldd int, a Operand, b Block, accumulate bool)
	// share adds a low-rank share to rows r0..r1, few of them, of whole panels, count
	// of them from panel lo on; nil: none.
	share   func(s *scratch, p *Projection, l *LowRank, r0, r1, lo, count int)
	outer   func(t *outerArgs)
	streams [2]func(*streamArgs) // four products of one row or two of low rank at once; nil: none
	blocks  blockFuncs
	rows    [numRowOps]func(*rowArgs)

	rope [2]func(*ropeArgs) // by mode of dst; vectors of 16, or nil
	adam func(*adamArgs)    // n a multiple of 16
	dots func(*ropeArgs)    // HeadDots for vectors of 16, or nil; cos is the bf16 row
	// ScaleRows for vectors of 16, or nil; src holds the factors, heads is the rows.
	scaleRows func(*ropeArgs)
}

// entry is a set and what it needs of the CPU ("" when there).
type entry struct {
	set     *set
	missing func() string
}

// panelTask is a piece of MatMul: all rows of a times one panel.
type panelTask struct {
	dst        []float32 // [a.Rows, cols], row stride ldd
	ldd        int
	a          Operand
	w          *Panels
	panel      int
	cols       int       // columns wanted, at most 64
	sums       []float32 // [a.Rows, K/32] sums of a's blocks; FormatQ4Min only
	accumulate bool
	shared     bool   // other workers write columns of the same rows meanwhile
	half       half   // which columns of the panel
	next       Span   // the weights that this worker multiplies by next
	ahead      *ahead // memory that is needed later; nil: none
}

// half says which columns of a panel a task takes. Sets with halves take 32 at
// once, so that few panels are split evenly.
type half uint8

const (
	bothHalves half = iota
	lowHalf
	highHalf
)

// halfOf is the half of a panel from lo to hi, in halves.
func halfOf(lo, hi int) half {
	switch {
	case lo > 0:
		return highHalf
	case hi < 2:
		return lowHalf
	}
	return bothHalves
}

// columns are those of the panel's cols that the half has.
func (h half) columns(cols int) (first, last int) {
	const middle = panelCols / 2
	switch h {
	case lowHalf:
		return 0, min(cols, middle)
	case highHalf:
		return min(cols, middle), cols
	}
	return 0, cols
}

// panelTTask is a piece of MatMulT: all rows of a times W[lo:hi, k0:k0+cols].
type panelTTask struct {
	dst        []float32 // [a.Rows, cols], row stride ldd
	ldd        int
	a          Operand
	w          *Panels
	lo, hi     int
	k0, cols   int // k0 is a multiple of 64, cols at most 64
	accumulate bool
}

// outerArgs is a piece of OuterAccum: dst[i, c] += sum over t of a[t, i]*b[t, c].
type outerArgs struct {
	dst    []float32 // [r, b.Cols]
	ldd    int
	a      []float32 // [T, r], row stride lda
	lda, r int
	b      Operand // [T, cols]
}

// A rowOp is a function on one row, n values; n is a multiple of 16 in all
// sets but the portable one.
type rowOp uint8

const (
	opDot            rowOp = iota // lanes[i%16] = fma(p0[i], p1[i], lanes)
	opDot3                        // lanes = fma(p0*p1, p2, lanes)
	opMax                         // lanes = max(p0, lanes)
	opAdd                         // dst += p0
	opScale                       // dst *= s0
	opAxpy                        // dst = fma(s0, p0, dst)
	opExp                         // dst = exp(p0)
	opExpSub                      // dst = exp(p0-s0); lanes += dst
	opNorm                        // dst = (p0*s0)*p1
	opNormBF16                    // the same, rounded
	opNormBack                    // dst += fma(-s1, p2, (p0*p1)*s0)
	opSwiGLU                      // dst = silu(p0)*p1
	opSwiGLUBF16                  // the same, rounded
	opSwiGLUBack                  // dst, dst2 = gradients of gate p0 and up p1 from p2
	opSwiGLUBackBF16              // the same, rounded
	opRound                       // dst(bf16) = p0
	opSoftmaxBack                 // dst = (p0*(dst-s0))*s1
	opDotBF16                     // lanes = fma(p0, p1(bf16), lanes)
	opBlockSums                   // dst[i/32] = sum of 32 bf16 at p0
	opExpScale                    // dst = exp(p0-s0)*s1
	opExpScaleBF16                // the same, rounded
	opWiden                       // dst = p0(bf16)
	numRowOps
)

// rowArgs are the arguments of a rowOp. Assembly reads them by offset.
type rowArgs struct {
	dst, dst2  unsafe.Pointer
	p0, p1, p2 unsafe.Pointer
	n          int
	s0, s1     float32
	lanes      *[16]float32
}

// hide keeps escape analysis from moving args to the heap: the functions it is
// passed to are behind pointers, but none of them keeps its argument.
func hide(a *rowArgs) *rowArgs {
	u := uintptr(unsafe.Pointer(a))
	return *(**rowArgs)(unsafe.Pointer(&u))
}

// ptr is the address of s's first element, nil for an empty s.
func ptr[T any](s []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }

func f32At(p unsafe.Pointer, n int) []float32 { return unsafe.Slice((*float32)(p), n) }
func u16At(p unsafe.Pointer, n int) []uint16  { return unsafe.Slice((*uint16)(p), n) }
