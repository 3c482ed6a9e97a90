package kernel

import (
	"fmt"
	"runtime"
)

// NF4 is the code book of the 4-bit NormalFloat (Dettmers et al., "QLoRA",
// arXiv 2305.14314, appendix E), with the last bits that bitsandbytes stores.
// FormatNF4 multiplies by these values rounded to bfloat16.
var NF4 = [16]float32{-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
	-0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224, 0.44070982933044434,
	0.5626170039176941, 0.7229568362236023, 1}

// nestedBlocks is how many scales of an NF4 matrix, counted along its rows, share
// a scale of their own.
const nestedBlocks = 256

// nesting holds what turns an NF4 panel's bytes into scales.
type nesting struct {
	code   *[256]float32
	scale  []float32 // of each 256 blocks, and some zeros that vectors may read
	offset float32
}

// index is which entry of scale belongs to block b of row n.
func (s *nesting) index(k, n, b int) int {
	return min((n*(k/groupings[FormatNF4].block)+b)/nestedBlocks, len(s.scale)-1)
}

// absmax is the scale of a block: code times the group's scale plus the offset,
// each rounded.
func (s *nesting) absmax(q byte, group int) float32 {
	return float32(s.code[q]*s.scale[group]) + s.offset
}

// SetNested sets how the scales of a FormatNF4 matrix are themselves quantised
// ("double quantisation"): the scale of block b (of 64) of row n is
// code[q]*scale[(n*K/64+b)/256] + offset. Call it before rows are used.
func (p *Panels) SetNested(code *[256]float32, scale []float32, offset float32) {
	p.checkFormat("SetNested", FormatNF4)
	blocks := p.N * p.K / groupings[FormatNF4].block
	if need := (blocks + nestedBlocks - 1) / nestedBlocks; len(scale) != need {
		panic(fmt.Sprintf("kernel: SetNested: %d scales for %d blocks, needs %d", len(scale), blocks, need))
	}
	p.nest = nesting{code: code, offset: offset, scale: append(append([]float32(nil), scale...), 0)}
}

// SetRowNF4 packs row n of W: one code 0..15 per element and per block of 64 the
// index of its scale in SetNested's code. Rows of one panel wait for each other.
func (p *Panels) SetRowNF4(n int, codes, scale []uint8) {
	defer runtime.KeepAlive(p) // or its memory could be unmapped under us
	defer p.lockRow("SetRowNF4", n, codes, FormatNF4)()
	g := p.Format.grouping()
	checkScales("SetRowNF4", len(scale), p.K/g.block)
	p.setCodes("SetRowNF4", g, n, codes)
	dst := p.bytes(n / panelCols)[g.codeBytes(p.K):]
	for b := range p.K / g.block {
		dst[b*panelCols+n%panelCols] = scale[b]
	}
}

// checkFormat panics unless the panels have the format.
func (p *Panels) checkFormat(what string, f Format) {
	if p.Format != f {
		panic(fmt.Sprintf("kernel: %s does not fit panels of format %v", what, p.Format))
	}
}
