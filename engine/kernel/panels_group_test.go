package kernel

import (
	"fmt"
	"math"
	"testing"
)

// Rows of grouped formats come back as the formats define them.
func TestGroupedRows(t *testing.T) {
	r := newRand(22)
	const n, k = 130, 512
	halves := func(count int) []uint16 {
		h := make([]uint16, count)
		for i := range h {
			h[i] = F16FromF32(float32(r.NormFloat64()))
		}
		return h
	}
	for _, f := range groupedFormats {
		p, g := NewPanels(f, n, k), f.grouping()
		var code [256]float32
		copy(code[:], randF32(r, 256, 1))
		nested, offset := randF32(r, (n*k/64+255)/256, 1), float32(r.NormFloat64())
		if f == FormatNF4 {
			p.SetNested(&code, nested, offset)
		}
		want := make([][]float32, n)
		for _, i := range r.Perm(n) {
			codes, v := make([]uint8, k), make([]float32, k)
			for j := range codes {
				codes[j] = uint8(r.IntN(16 << g.high))
			}
			sub, subMin := make([]uint8, k/g.block), make([]uint8, k/g.block)
			for j := range sub {
				sub[j], subMin[j] = uint8(r.IntN(256)), uint8(r.IntN(256))
			}
			d, m := halves(k/32), halves(k/32)
			for j, q := range codes {
				b, s := j/g.block, j/256
				switch f {
				case FormatQ5:
					v[j] = F32FromF16(d[b]) * float32(int(q)-16)
				case FormatQ5Min:
					v[j] = float32(float64(F32FromF16(d[b]))*float64(q) + float64(F32FromF16(m[b])))
				case FormatQ4K, FormatQ5K:
					v[j] = float32(float64(F32FromF16(d[s]))*float64(sub[b])*float64(q) - float64(F32FromF16(m[s]))*float64(subMin[b]))
				case FormatQ6K:
					v[j] = float32(float64(F32FromF16(d[s])) * float64(int8(sub[b])) * float64(int(q)-32))
				case FormatNF4:
					absmax := float32(code[sub[b]]*nested[(i*k/64+b)/256]) + offset
					v[j] = F32FromBF16(BF16FromF32(NF4[q])) * absmax
				}
			}
			switch g.kind {
			case scaleF16:
				p.SetRowQ5(i, codes, d, m)
			case scaleK:
				p.SetRowK(i, codes, d[:k/256], m[:k/256], sub, subMin)
			default:
				p.SetRowNF4(i, codes, sub)
			}
			want[i] = v
		}
		got := make([]float32, k)
		for i := range n {
			p.RowF32(i, got)
			wantBits(t, fmt.Sprintf("%v row %d", f, i), got, want[i])
		}
	}
}

// The code book is NormalFloat's: quantiles of the normal distribution, as the
// paper's appendix E prints them.
func TestNF4CodeBook(t *testing.T) {
	for i, v := range []float64{-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
		-0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224, 0.44070982933044434,
		0.5626170039176941, 0.7229568362236023, 1} {
		if NF4[i] != float32(v) || i > 0 && NF4[i] <= NF4[i-1] {
			t.Errorf("entry %d is %v", i, NF4[i])
		}
	}
	// The positive half: quantiles at equal steps, scaled so that the largest is 1.
	const top = 0.9677083
	quantile := func(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }
	for i := range 8 {
		want := quantile(top-(top-0.5)*float64(8-1-i+1)/8) / quantile(top)
		if i == 7 {
			want = quantile(top-(top-0.5)/8) / quantile(top)
		}
		if d := math.Abs(float64(NF4[7+i]) - want); d > 1e-3 {
			t.Errorf("entry %d is %v, the quantile %v", 7+i, NF4[7+i], want)
		}
	}
}

func TestGroupedRefusals(t *testing.T) {
	codes := make([]uint8, 256)
	for name, f := range map[string]func(){
		"K of Q4K": func() { NewPanels(FormatQ4K, 4, 128) },
		"K of NF4": func() { NewPanels(FormatNF4, 4, 96) },
		"code over 31": func() {
			NewPanels(FormatQ5, 1, 32).SetRowQ5(0, append(make([]uint8, 31), 32), make([]uint16, 1), nil)
		},
		"missing minima":  func() { NewPanels(FormatQ5Min, 1, 32).SetRowQ5(0, codes, make([]uint16, 1), nil) },
		"missing factors": func() { NewPanels(FormatQ6K, 1, 256).SetRowK(0, codes, make([]uint16, 1), nil, make([]uint8, 15), nil) },
		"wrong format":    func() { NewPanels(FormatQ6K, 1, 256).SetRowNF4(0, codes, codes) },
		"nested scales": func() {
			NewPanels(FormatNF4, 64, 256).SetNested(new([256]float32), make([]float32, 2), 0)
		},
		"nested of another format": func() { NewPanels(FormatQ6K, 1, 256).SetNested(new([256]float32), nil, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("accepted")
				}
			}()
			f()
		})
	}
}
