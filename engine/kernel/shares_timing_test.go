package kernel

import (
	"slices"
	"testing"
	"time"
)

// shareGroups are the multiplies of a layer.
var shareGroups = []struct {
	name string
	k    int
	outs []int
}{{"qkv", 576, []int{576, 192, 192}}, {"o", 576, []int{576}}, {"gateup", 576, []int{1536, 1536}}, {"down", 1536, []int{576}}}

// shareLayer is one of them, without adapters and with.
type shareLayer struct {
	a    Operand
	ps   [2][]Projection
	next [][]LowRank
}

func newShareLayer(rows, adapters, group int) (l shareLayer) {
	g := shareGroups[group]
	l.a = randOperand(newRand(1), BF16, rows, g.k)
	for _, n := range g.outs {
		p := Projection{Dst: make([]float32, rows*n), Ldd: n, W: constPanels(FormatQ4Min, n, g.k)}
		l.ps[0] = append(l.ps[0], p)
		for i := range adapters {
			lo, hi := stretch(rows, i, adapters)
			p.Low = append(p.Low, LowRank{Lo: lo, Hi: hi, A: constPanels(FormatBF16, 16, g.k), B: constPanels(FormatBF16, n, 16), Scale: 2, H: NewOperand(BF16, hi-lo, 16)})
		}
		l.ps[1] = append(l.ps[1], p)
	}
	return l
}

// constPanels are panels of positive numbers of all kinds.
func constPanels(f Format, n, k int) *Panels {
	p := NewPanels(f, n, k)
	for i := range p.data {
		p.data[i] = byte(i) & 0x3b
	}
	return p
}

// benchShares multiplies layers one after the other, with and without adapters in
// turns, and reports what they add to 30 layers.
func benchShares(b *testing.B, x *Exec, layers []shareLayer, scale float64) {
	var took [2][]time.Duration
	for range b.N {
		for with := range took {
			start := time.Now()
			for i := range layers {
				l := &layers[i]
				var next [][]LowRank
				if with == 1 {
					next = l.next
				}
				x.Project(l.a, l.ps[with], next...)
			}
			took[with] = append(took[with], time.Since(start))
		}
	}
	for i := range took {
		slices.Sort(took[i])
	}
	base, with := took[0][len(took[0])/10], took[1][len(took[1])/10] // the others' work makes medians
	b.ReportMetric(scale*float64(base.Nanoseconds())/1e3, "base-us/step")
	b.ReportMetric(scale*float64((with-base).Nanoseconds())/1e3, "added-us/step")
}

// BenchmarkShares is what adapters (rank 16) add to the multiplies of a layer where
// nothing has to be read from memory: each group of projections again and again.
func BenchmarkShares(b *testing.B) {
	for _, load := range [][2]int{{8, 1}, {8, 4}, {8, 8}} {
		benchThreads(b, func(x *Exec) {
			for g := range shareGroups {
				b.Run(benchName(x, "%s/%dx%d", shareGroups[g].name, load[0], load[1]), func(b *testing.B) {
					l := newShareLayer(load[0], load[1], g)
					benchShares(b, x, []shareLayer{l}, 30)
				})
			}
		})
	}
}

// BenchmarkSharesStream is the same for the multiplies of 30 layers, one after the
// other, as a step reads them.
func BenchmarkSharesStream(b *testing.B) {
	for _, load := range [][2]int{{8, 4}, {32, 32}} {
		benchThreads(b, func(x *Exec) {
			b.Run(benchName(x, "%dx%d", load[0], load[1]), func(b *testing.B) {
				var layers []shareLayer
				for range 30 {
					for g := range shareGroups {
						layers = append(layers, newShareLayer(load[0], load[1], g))
					}
				}
				for i := range layers {
					if i > 0 {
						for _, p := range layers[i].ps[1] {
							layers[i-1].next = append(layers[i-1].next, p.Low)
						}
					}
				}
				b.ResetTimer()
				benchShares(b, x, layers, 1)
			})
		})
	}
}
