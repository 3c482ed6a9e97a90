package kernel

import (
	"fmt"
	"testing"
)

// A gated call gives the bits of Project and SwiGLU, for a few rows and for many, with
// and without shares.
func TestProjectGated(t *testing.T) {
	for _, set := range availableSets() {
		for threads := 1; threads <= 2; threads++ {
			x := execFor(t, set, threads)
			for i, m := range []int{1, 8, 13, 70} {
				for _, ranks := range [][]int{{0}, {16, 3, 0}} {
					for _, n := range []int{192, 130} {
						c, d := newProjectCase(uint64(i), BF16, m, []int{n, n}, ranks), newProjectCase(uint64(i), BF16, m, []int{n, n}, ranks)
						c.ps[1].W, d.ps[1].W = c.ps[0].W, d.ps[0].W // formats of half panels
						c.ps[1].Accumulate, d.ps[1].Accumulate = false, false
						got, want := NewOperand(BF16, m, n), NewOperand(BF16, m, n)
						x.ProjectGated(got, c.a, c.ps)
						x.Project(d.a, d.ps)
						x.SwiGLU(want, d.ps[0].Dst, d.ps[1].Dst, m, n)
						a, b := make([]float32, n), make([]float32, n)
						for r := range m {
							got.row32(r, a)
							want.row32(r, b)
							wantBits(t, fmt.Sprintf("%s, %d threads, %d of %d rows, ranks %v, %d columns", set, threads, r, m, ranks, n), a, b)
						}
						wantBits(t, "gate", c.ps[0].Dst, d.ps[0].Dst)
					}
				}
			}
		}
	}
}
