package kernel

import "fmt"

// Block is the right side of a small multiply, [K, N]: in BF16 mode pairs of k
// (B is [K/2][N][2], K even), in F32 mode F is [K][N]. N is a multiple of 16.
// Attention keeps keys and values in blocks of 64.
type Block struct {
	Mode Mode
	K, N int
	B    []uint16
	F    []float32
	Want int // columns that a multiply computes, a multiple of 16; 0: all N
}

// wanted is the number of columns that a multiply computes.
func (b *Block) wanted() int {
	if b.Want == 0 {
		return b.N
	}
	return b.Want
}

// MulBlock computes dst [M, Want] = a [M, K] · b, or += with accumulate, with
// MatMul's chains for bf16 (or f32) weights. Serial: call it inside Run.
func (x *Exec) MulBlock(dst []float32, ldd int, a Operand, b Block, accumulate bool) {
	a.check("MulBlock")
	n := len(b.B)
	if b.Mode == F32 {
		n = len(b.F)
	}
	if a.Mode != b.Mode || a.Cols != b.K || b.N%laneCols != 0 || (b.Mode == BF16 && b.K&1 != 0) || n < b.K*b.N || b.Want < 0 || b.Want > b.N || b.Want%laneCols != 0 {
		panic(fmt.Sprintf("kernel: MulBlock: %v operand %d x %d times %v block %d x %d of %d values (same mode, even K, N a multiple of %d)",
			a.Mode, a.Rows, a.Cols, b.Mode, b.K, b.N, n, laneCols))
	}
	checkDst("MulBlock", dst, ldd, a.Rows, b.wanted())
	if a.Rows == 0 || b.N == 0 {
		return
	}
	x.set.block(dst, ldd, a, b, accumulate)
}
