package kernel

import "runtime"

// RowF32 writes the dequantised row n of W to dst [K]: an embedding's lookup,
// and what oracles compare with. d*q is exact in float32 (a scale has at most 18
// significant bits, with the code at most 24), so one rounding is left where a
// minimum is added; NF4 rounds the code to bfloat16 first, as the multiply does,
// then the product.
func (p *Panels) RowF32(n int, dst []float32) {
	p.checkRow("RowF32", n, len(dst), p.K)
	pi, c := n/panelCols, n%panelCols
	w := p.width(pi)
	switch p.Format {
	case FormatF32:
		src := asF32(p.bytes(pi))
		for k := range p.K {
			dst[k] = src[k*w+c]
		}
	case FormatBF16:
		src := asU16(p.bytes(pi))
		for k := range p.K {
			dst[k] = F32FromBF16(src[pairAt(k, w, c)])
		}
	case FormatQ5, FormatQ5Min, FormatQ4K, FormatQ5K, FormatQ6K, FormatNF4:
		p.groupPart(n, 0, dst[:p.K])
	default:
		for b := range p.K / blockK {
			p.blockRow(p.blockAt(pi, b), c, dst[b*blockK:(b+1)*blockK])
		}
	}
	runtime.KeepAlive(p)
}

// blockRow dequantises column c of one block. The products are exact: a scale
// has 11 significant bits and a code at most 8.
func (p *Panels) blockRow(blk []byte, c int, dst []float32) {
	d := F32FromF16(p.scales(blk)[c])
	var m float32
	if p.Format == FormatQ4Min {
		m = F32FromF16(p.mins(blk)[c])
	}
	for k := range dst {
		q := float32(p.code(blk, k, c))
		if p.Format == FormatQ4Min {
			dst[k] = float32(d*q) + m
		} else {
			dst[k] = d * q
		}
	}
}

// code is the integer that multiplies the scale at (k, column c) of a block.
func (p *Panels) code(blk []byte, k, c int) int {
	if p.Format == FormatQ8 {
		return int(int8(blk[pairAt(k, panelCols, c)]))
	}
	v, lane := c/laneCols, c%laneCols
	q := int(blk[k>>1*64+(2*lane+k&1)*2+v>>1] >> (v & 1 * 4) & 15)
	if p.Format == FormatQ4 {
		q -= 8
	}
	return q
}
