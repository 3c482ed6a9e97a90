package kernel

import (
	"fmt"
	"testing"
)

// projectCase is several right sides of one left side, with low-rank shares of
// different ranks for some of the rows.
type projectCase struct {
	a  Operand
	ps []Projection
}

// newProjectCase draws one: mode's formats in turns, shares of the given ranks
// for runs of rows, of which each third has none.
func newProjectCase(seed uint64, mode Mode, m int, outs, ranks []int) projectCase {
	const k = 96
	r := newRand(seed)
	formats := []Format{FormatQ4Min, FormatBF16, FormatQ8}
	if mode == F32 {
		formats = []Format{FormatF32}
	}
	low := FormatBF16
	if mode == F32 {
		low = FormatF32
	}
	c := projectCase{a: randOperand(r, mode, m, k)}
	for i, n := range outs {
		p := Projection{Dst: randF32(r, m*n, 1), Ldd: n, W: randPanels(r, formats[i%len(formats)], n, k), Accumulate: i%2 == 1}
		if i%3 != 1 {
			p.Bias = randF32(r, n, 1)
		}
		for at, run := 0, 0; at < m; run++ {
			hi := min(m, at+1+(run+i)%4*3)
			if rank := ranks[run%len(ranks)]; rank > 0 && (run+i)%3 != 0 {
				l := LowRank{Lo: at, Hi: hi, A: randPanels(r, low, rank, k), B: randPanels(r, low, n, rank),
					Scale: []float32{1, 0.5}[run%2], H: NewOperand(mode, hi-at, rank)}
				if run%5 == 4 { // the share is there already
					l.A, l.H = nil, randOperand(r, mode, hi-at, rank)
				}
				p.Low = append(p.Low, l)
			}
			at = hi
		}
		c.ps = append(c.ps, p)
	}
	return c
}

// apart computes the same with one multiply after the other.
func (c *projectCase) apart(x *Exec) (dst [][]float32, h []Operand) {
	for _, p := range c.ps {
		d := append([]float32(nil), p.Dst...)
		x.MatMul(d, p.Ldd, c.a, p.W, p.Accumulate)
		for i := range d {
			if p.Bias != nil {
				d[i] += p.Bias[i%p.Ldd]
			}
		}
		for _, l := range p.Low {
			o := l.H
			if l.A != nil {
				o = NewOperand(l.H.Mode, l.H.Rows, l.H.Cols)
				h32 := make([]float32, o.Rows*o.Cols)
				x.MatMul(h32, o.Cols, c.a.Slice(l.Lo, l.Hi), l.A, false)
				x.Scale(h32, l.Scale)
				x.Round(o, h32, o.Cols)
			}
			x.MatMul(d[l.Lo*p.Ldd:], p.Ldd, o, l.B, true)
			h = append(h, o)
		}
		dst = append(dst, d)
	}
	return dst, h
}

// One call gives the bits of many, in every set, with one thread and two, for a
// few rows and for many.
func TestProject(t *testing.T) {
	for _, set := range availableSets() {
		for threads := 1; threads <= 2; threads++ {
			x := execFor(t, set, threads)
			for mode, sizes := range map[Mode][]int{BF16: {1, 2, 3, 8, 31, 70, 200}, F32: {1, 9, 70}} {
				for i, m := range sizes {
					if set == "portable" && m > 70 {
						continue
					}
					what := fmt.Sprintf("%s, %d threads, %v, %d rows", set, threads, mode, m)
					c := newProjectCase(uint64(i), mode, m, []int{130, 64, 47, 192}, []int{16, 3, 0, 70, 8})
					want, h := c.apart(x)
					x.Project(c.a, c.ps)
					for j, p := range c.ps {
						wantBits(t, fmt.Sprintf("%s: projection %d", what, j), p.Dst, want[j])
						for l := range p.Low {
							got, ref := make([]float32, p.Low[l].H.Cols), make([]float32, p.Low[l].H.Cols)
							for row := range p.Low[l].H.Rows {
								p.Low[l].H.row32(row, got)
								h[0].row32(row, ref)
								wantBits(t, fmt.Sprintf("%s: projection %d, share %d", what, j, l), got, ref)
							}
							h = h[1:]
						}
					}
				}
			}
		}
	}
}

// A call allocates nothing, and shares that do not fit are refused.
func TestProjectAllocatesNothing(t *testing.T) {
	x := execFor(t, availableSets()[0], 2)
	c := newProjectCase(1, BF16, 20, []int{130, 64}, []int{16, 8})
	x.Project(c.a, c.ps)
	if n := testing.AllocsPerRun(10, func() { x.Project(c.a, c.ps) }); n != 0 {
		t.Errorf("Project allocates %v times", n)
	}
	for name, spoil := range map[string]func(l *LowRank){
		"rows beyond the operand": func(l *LowRank) { l.Lo, l.Hi = l.Lo+20, l.Hi+20 },
		"H of another length":     func(l *LowRank) { l.Hi++ },
		"A of another rank":       func(l *LowRank) { l.A = NewPanels(FormatBF16, 5, 96) },
		"B of another width":      func(l *LowRank) { l.B = NewPanels(FormatBF16, 63, l.B.K) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newProjectCase(2, BF16, 20, []int{64}, []int{16})
			spoil(&c.ps[0].Low[0])
			defer func() {
				if recover() == nil {
					t.Error("accepted")
				}
			}()
			x.Project(c.a, c.ps)
		})
	}
}
