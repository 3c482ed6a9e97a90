package kernel

import (
	"fmt"
	"runtime"
)

// SetRowF32 packs row n of W; bf16 panels round to nearest even. Rows may be
// set concurrently.
func (p *Panels) SetRowF32(n int, row []float32) {
	defer runtime.KeepAlive(p) // or its memory could be unmapped under us
	p.checkRow("SetRowF32", n, len(row), p.K, FormatF32, FormatBF16)
	pi, c := n/panelCols, n%panelCols
	w := p.width(pi)
	if p.Format == FormatF32 {
		dst := asF32(p.bytes(pi))
		for k, v := range row[:p.K] {
			dst[k*w+c] = v
		}
		return
	}
	dst := asU16(p.bytes(pi))
	for k, v := range row[:p.K] {
		dst[pairAt(k, w, c)] = BF16FromF32(v)
	}
}

// pairAt is the place of (k, column c) in a pair layout of width w.
func pairAt(k, w, c int) int { return (k>>1*w+c)*2 + k&1 }

// SetRowBF16 packs row n of W from bfloat16 bits. Rows may be set concurrently.
func (p *Panels) SetRowBF16(n int, row []uint16) {
	defer runtime.KeepAlive(p) // or its memory could be unmapped under us
	p.checkRow("SetRowBF16", n, len(row), p.K, FormatBF16)
	pi, c := n/panelCols, n%panelCols
	w, dst := p.width(pi), asU16(p.bytes(pi))
	for k, v := range row[:p.K] {
		dst[pairAt(k, w, c)] = v
	}
}

// SetRowQ4 packs row n of W: one code 0..15 per element, and per block of 32
// the f16 bits of its scale and, for FormatQ4Min, of its minimum (nil for
// FormatQ4).
//
// Columns share bytes, so rows of one panel wait for each other; rows of
// different panels are set in parallel.
func (p *Panels) SetRowQ4(n int, codes []uint8, scale, mins []uint16) {
	defer runtime.KeepAlive(p) // or its memory could be unmapped under us
	p.checkRow("SetRowQ4", n, len(codes), p.K, FormatQ4, FormatQ4Min)
	blocks := p.K / blockK
	if len(scale) < blocks || (p.Format == FormatQ4Min && len(mins) < blocks) {
		panic(fmt.Sprintf("kernel: SetRowQ4: %d scales and %d minima for %d blocks of %v", len(scale), len(mins), blocks, p.Format))
	}
	pi, c := n/panelCols, n%panelCols
	v, lane := c/laneCols, c%laneCols
	half, shift := v>>1, v&1*4 // byte of the word, bits of the byte
	mu := &packLocks[pi%len(packLocks)]
	mu.Lock()
	defer mu.Unlock()
	for b := range blocks {
		blk := p.blockAt(pi, b)
		for k, q := range codes[b*blockK : (b+1)*blockK] {
			if q > 15 {
				panic(fmt.Sprintf("kernel: SetRowQ4: code %d at element %d of row %d (0..15 expected)", q, b*blockK+k, n))
			}
			at := k>>1*64 + (2*lane+k&1)*2 + half
			blk[at] = blk[at]&^(15<<shift) | q<<shift
		}
		p.scales(blk)[c] = scale[b]
		if p.Format == FormatQ4Min {
			p.mins(blk)[c] = mins[b]
		}
	}
}

// SetRowQ8 packs row n of W: one signed code per element and the f16 bits of
// each block's scale. Rows may be set concurrently.
func (p *Panels) SetRowQ8(n int, codes []int8, scale []uint16) {
	defer runtime.KeepAlive(p) // or its memory could be unmapped under us
	p.checkRow("SetRowQ8", n, len(codes), p.K, FormatQ8)
	blocks := p.K / blockK
	if len(scale) < blocks {
		panic(fmt.Sprintf("kernel: SetRowQ8: %d scales for %d blocks", len(scale), blocks))
	}
	pi, c := n/panelCols, n%panelCols
	for b := range blocks {
		blk := p.blockAt(pi, b)
		for k, q := range codes[b*blockK : (b+1)*blockK] {
			blk[pairAt(k, panelCols, c)] = byte(q)
		}
		p.scales(blk)[c] = scale[b]
	}
}
