package kernel

import (
	"fmt"
	"runtime"
)

// grouping describes the panels of a format whose codes have 4, 5 or 6 bits and
// whose scales lie apart from them. Memory of a panel:
//
//	for each group of 8 k (4 pairs): 4 vectors of 32 words as in q4, with the low
//	four bits; then, as vectors of 32 words in the same order, the high bits:
//	  5 bits   one vector: bit 4p+v for pair p and column 16v+c
//	  6 bits   two vectors, of two pairs each: bits 8(p%2)+2v and the next
//	then the scales:
//	  f16      for each block: 64 scales, with minima 64 minima
//	  K        for each 256 k: 64 f16 scales, with minima 64 f16; then for each
//	           block 64 bytes of factors, with minima 64 of the minima's
//	  NF4      for each block 64 bytes: indices of nestedCode
type grouping struct {
	high  int // bits of a code above four
	block int // values along K that share a scale: one chain
	min   bool
	kind  scaleKind
}

type scaleKind uint8

const (
	scaleF16 scaleKind = iota
	scaleK
	scaleNested
)

var groupings = [numFormats]grouping{
	FormatQ5:    {high: 1, block: 32, kind: scaleF16},
	FormatQ5Min: {high: 1, block: 32, min: true, kind: scaleF16},
	FormatQ4K:   {high: 0, block: 32, min: true, kind: scaleK},
	FormatQ5K:   {high: 1, block: 32, min: true, kind: scaleK},
	FormatQ6K:   {high: 2, block: 16, kind: scaleK},
	FormatNF4:   {high: 0, block: 64, kind: scaleNested},
}

const (
	groupK = 8   // k of a group of codes
	superK = 256 // k that share an f16 scale in the K formats
)

// grouping is the format's layout, nil if it is not a grouped one.
func (f Format) grouping() *grouping {
	if f < numFormats && groupings[f].block > 0 {
		return &groupings[f]
	}
	return nil
}

// unit is what the row length must be a multiple of.
func (f Format) unit() int {
	switch g := f.grouping(); {
	case g != nil && g.kind == scaleK:
		return superK
	case g != nil:
		return g.block
	case f.quantised():
		return blockK
	}
	return 1
}

// minima says whether multiplies need the sums of the left side's blocks of 32.
func (f Format) minima() bool {
	return f == FormatQ4Min || f.quantised() && groupings[f].min
}

// groupBytes is the memory of the codes of one group: 8 k of 64 columns.
func (g *grouping) groupBytes() int { return (4 + g.high) * 64 }

// rows is 2 with minima, else 1: how many rows of 64 a block's scales take.
func (g *grouping) rows() int {
	if g.min {
		return 2
	}
	return 1
}

func (g *grouping) codeBytes(k int) int { return k / groupK * g.groupBytes() }

func (g *grouping) panelBytes(k int) int {
	n := g.codeBytes(k)
	switch blocks := k / g.block; g.kind {
	case scaleF16:
		return n + blocks*panelCols*2*g.rows()
	case scaleK:
		return n + k/superK*panelCols*2*g.rows() + blocks*panelCols*g.rows()
	default:
		return n + blocks*panelCols
	}
}

// codeAt is where the code of (k, column c) lies in a panel: the byte and shift
// of its low four bits and of its high ones.
func (g *grouping) codeAt(k, c int) (low, lowShift, high, highShift int) {
	v, word, pair := c/laneCols, 2*(c%laneCols)+k&1, k/2%4
	base := k / groupK * g.groupBytes()
	low, lowShift = base+pair*64+word*2+v>>1, v&1*4
	if g.high == 1 {
		bit := 4*pair + v
		return low, lowShift, base + 256 + word*2 + bit>>3, bit & 7
	}
	return low, lowShift, base + 256 + pair>>1*64 + word*2 + pair&1, 2 * v
}

// setCodes packs the codes of row n. The caller holds the panel's lock.
func (p *Panels) setCodes(what string, g *grouping, n int, codes []uint8) {
	data, c := p.bytes(n/panelCols), n%panelCols
	most := uint8(16<<g.high - 1)
	for k, q := range codes[:p.K] {
		if q > most {
			panic(fmt.Sprintf("kernel: %s: code %d at element %d of row %d (0..%d expected)", what, q, k, n, most))
		}
		low, ls, high, hs := g.codeAt(k, c)
		data[low] = data[low]&^(15<<ls) | q&15<<ls
		if g.high > 0 {
			data[high] = data[high]&^(most>>4<<hs) | q>>4<<hs
		}
	}
}

// lockRow checks row n and locks its panel.
func (p *Panels) lockRow(what string, n int, codes []uint8, formats ...Format) (unlock func()) {
	p.checkRow(what, n, len(codes), p.K, formats...)
	mu := &packLocks[n/panelCols%len(packLocks)]
	mu.Lock()
	return mu.Unlock
}

func checkScales(what string, got ...int) {
	for i := 0; i < len(got); i += 2 {
		if got[i] < got[i+1] {
			panic(fmt.Sprintf("kernel: %s: %d scales or minima, needs %d", what, got[i], got[i+1]))
		}
	}
}

// SetRowQ5 packs row n of W: one code 0..31 per element, and per block of 32 the
// f16 bits of its scale and, for FormatQ5Min, of its minimum (nil for FormatQ5).
// Rows of one panel wait for each other.
func (p *Panels) SetRowQ5(n int, codes []uint8, scale, mins []uint16) {
	defer runtime.KeepAlive(p) // or its memory could be unmapped under us
	defer p.lockRow("SetRowQ5", n, codes, FormatQ5, FormatQ5Min)()
	g := p.Format.grouping()
	checkScales("SetRowQ5", len(scale), p.K/blockK)
	p.setCodes("SetRowQ5", g, n, codes)
	dst := asU16(p.bytes(n / panelCols)[g.codeBytes(p.K):])[n%panelCols:]
	for b := range p.K / blockK {
		dst[b*g.rows()*panelCols] = scale[b]
		if g.min {
			dst[(b*2+1)*panelCols] = mins[b]
		}
	}
}

// SetRowK packs row n of W in one of the K formats: a code per element, the f16
// bits of the scale (and minimum) per 256 elements, and per block a factor of the
// scale (and one of the minimum). FormatQ6K's factors are int8 as bytes and it has
// no minima. Rows of one panel wait for each other.
func (p *Panels) SetRowK(n int, codes []uint8, scale, mins []uint16, factors, minFactors []uint8) {
	defer runtime.KeepAlive(p) // or its memory could be unmapped under us
	defer p.lockRow("SetRowK", n, codes, FormatQ4K, FormatQ5K, FormatQ6K)()
	g := p.Format.grouping()
	supers, blocks := p.K/superK, p.K/g.block
	checkScales("SetRowK", len(scale), supers, len(factors), blocks)
	if g.min {
		checkScales("SetRowK", len(mins), supers, len(minFactors), blocks)
	}
	p.setCodes("SetRowK", g, n, codes)
	head, sub := p.superScales(n / panelCols)
	c := n % panelCols
	for i := range supers {
		head[i*g.rows()*panelCols+c] = scale[i]
		if g.min {
			head[(i*2+1)*panelCols+c] = mins[i]
		}
	}
	for b := range blocks {
		sub[b*g.rows()*panelCols+c] = factors[b]
		if g.min {
			sub[(b*2+1)*panelCols+c] = minFactors[b]
		}
	}
}

// superScales are the f16 scales and the factors of a panel of a K format.
func (p *Panels) superScales(panel int) (head []uint16, sub []byte) {
	g := p.Format.grouping()
	data := p.bytes(panel)[g.codeBytes(p.K):]
	n := p.K / superK * panelCols * g.rows()
	return asU16(data[:2*n]), data[2*n:]
}

// groupCode is the number, exact in bf16, that multiplies the scale at (k, column
// c) of a grouped panel.
func (p *Panels) groupCode(g *grouping, data []byte, k, c int) float32 {
	low, ls, high, hs := g.codeAt(k, c)
	q := int(data[low] >> ls & 15)
	if g.high > 0 {
		q |= int(data[high]>>hs&(1<<g.high-1)) << 4
	}
	return groupValues[p.Format][q]
}

// groupValues holds the numbers that the codes stand for.
var groupValues = func() (v [numFormats][64]float32) {
	for q := range 64 {
		v[FormatQ5][q], v[FormatQ6K][q] = float32(q-16), float32(q-32)
		for _, f := range []Format{FormatQ5Min, FormatQ4K, FormatQ5K} {
			v[f][q] = float32(q)
		}
		v[FormatNF4][q] = F32FromBF16(BF16FromF32(NF4[q&15]))
	}
	return v
}()

// groupScales writes blocks first.. of a panel's scales to dst, for each block 64
// scales and with minima 64 minima (negative where they are subtracted). All
// products are exact, but NF4's, which round as IEEE says.
func (p *Panels) groupScales(dst []float32, g *grouping, panel, first, count int) {
	rows := g.rows()
	switch g.kind {
	case scaleF16:
		src := asU16(p.bytes(panel)[g.codeBytes(p.K):])[first*rows*panelCols:]
		for i := range count * rows * panelCols {
			dst[i] = F32FromF16(src[i])
		}
	case scaleK:
		head, sub := p.superScales(panel)
		for b := range count {
			h := head[(first+b)/(superK/g.block)*rows*panelCols:]
			s, out := sub[(first+b)*rows*panelCols:], dst[b*rows*panelCols:]
			for c := range panelCols {
				if !g.min {
					out[c] = F32FromF16(h[c]) * float32(int8(s[c]))
					continue
				}
				out[c] = F32FromF16(h[c]) * float32(s[c])
				out[panelCols+c] = -(F32FromF16(h[panelCols+c]) * float32(s[panelCols+c]))
			}
		}
	case scaleNested:
		src := p.bytes(panel)[g.codeBytes(p.K)+first*panelCols:]
		for b := range count {
			for c := range panelCols {
				dst[b*panelCols+c] = p.nest.absmax(src[b*panelCols+c], p.nest.index(p.K, panel*panelCols+c, first+b))
			}
		}
	}
}

// groupPart dequantises elements k0..k0+len(dst) of row n.
func (p *Panels) groupPart(n, k0 int, dst []float32) {
	var scales [2 * panelCols]float32
	g, data, c, at := p.Format.grouping(), p.bytes(n/panelCols), n%panelCols, -1
	for i := range dst {
		k := k0 + i
		if b := k / g.block; b != at {
			at = b
			p.groupScales(scales[:], g, n/panelCols, b, 1)
		}
		dst[i] = float32(scales[c] * p.groupCode(g, data, k, c))
		if g.min {
			dst[i] += scales[panelCols+c]
		}
	}
}
