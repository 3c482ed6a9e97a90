package kernel

import (
	"fmt"
	"math"
	"testing"
)

// attentionCase is random attention of n queries of which the first sees that many
// keys; what nobody sees is not a number.
func attentionCase(mode Mode, n, seen, more, d int) *Attention {
	r := newRand(uint64(n*1000 + seen*10 + more))
	t := &Attention{Q: randOperand(r, mode, n, d), Out: NewOperand(mode, n, d), Seen: seen, More: more, Scale: 0.3,
		Scores: make([]float32, n*64), Weights: NewOperand(mode, n, 64), Acc: make([]float32, n*d),
		M: make([]float32, n), L: make([]float32, n), Sum: make([]float32, n), F: make([]float32, n)}
	for b := 0; b*64 < t.last(); b++ {
		k, v := randOperand(r, mode, d, 64), randOperand(r, mode, 64, d)
		t.Keys = append(t.Keys, Block{Mode: mode, K: d, N: 64, B: k.B, F: k.F})
		t.Values = append(t.Values, Block{Mode: mode, K: 64, N: d, B: v.B, F: v.F})
	}
	return t
}

var attentionShapes = []struct{ n, seen, more, d int }{
	{1, 1, 0, 64}, {3, 5, 0, 64}, {3, 64, 0, 64}, {3, 65, 0, 64}, {8, 200, 0, 128}, {7, 129, 0, 16}, {5, 190, 0, 80},
	{1, 300, 1, 64}, {64, 1, 1, 64}, {64, 129, 1, 64}, {33, 65, 1, 96}, {17, 20, 1, 256}, {20, 41, 1, 32},
}

func TestAttendBits(t *testing.T) {
	ref := execFor(t, "portable", 1)
	for _, set := range availableSets() {
		x := execFor(t, set, 1)
		for _, mode := range []Mode{BF16, F32} {
			for _, s := range attentionShapes {
				what := fmt.Sprintf("%s %v %+v", set, mode, s)
				got, want := attentionCase(mode, s.n, s.seen, s.more, s.d), attentionCase(mode, s.n, s.seen, s.more, s.d)
				x.Attend(got)
				ref.Attend(want)
				wantBits(t, what+": maximum", got.M, want.M)
				wantBits(t, what+": sum", got.L, want.L)
				a, b := make([]float32, s.d), make([]float32, s.d)
				for i := range s.n {
					got.Out.row32(i, a)
					want.Out.row32(i, b)
					wantBits(t, fmt.Sprintf("%s: row %d", what, i), a, b)
				}
			}
		}
	}
}

// A query's result does not depend on the queries beside it.
func TestAttendInvariance(t *testing.T) {
	for _, set := range availableSets() {
		x := execFor(t, set, 1)
		const n, seen, d = 20, 70, 64
		whole := attentionCase(BF16, n, seen, 1, d)
		x.Attend(whole)
		for i := range n {
			one := attentionCase(BF16, n, seen, 1, d)
			one.Q, one.Out, one.Seen = one.Q.Slice(i, i+1), one.Out.Slice(i, i+1), seen+i
			x.Attend(one)
			a, b := make([]float32, d), make([]float32, d)
			one.Out.row32(0, a)
			whole.Out.row32(i, b)
			wantBits(t, fmt.Sprintf("%s: query %d", set, i), a, b)
		}
	}
}

func TestAttendAgainstFloat64(t *testing.T) {
	x := execFor(t, availableSets()[0], 1)
	for _, s := range attentionShapes {
		c := attentionCase(F32, s.n, s.seen, s.more, s.d)
		x.Attend(c)
		for i := range s.n {
			seen := s.seen + i*s.more
			out, sum, scores := make([]float64, s.d), 0.0, make([]float64, seen)
			for j := range seen {
				for k := range s.d {
					scores[j] += float64(c.Q.F[i*c.Q.Stride+k]) * float64(c.Keys[j/64].F[k*64+j%64]) * float64(c.Scale)
				}
			}
			for j := range seen {
				w := math.Exp(scores[j] - float64(c.M[i]))
				sum += w
				for k := range s.d {
					out[k] += w * float64(c.Values[j/64].F[j%64*s.d+k])
				}
			}
			for k := range s.d {
				if got, want := float64(c.Out.F[i*c.Out.Stride+k]), out[k]/sum; math.Abs(got-want) > 1e-4*(1+math.Abs(want)) {
					t.Fatalf("%+v, query %d, channel %d: %v, expected %v", s, i, k, got, want)
				}
			}
		}
	}
}
