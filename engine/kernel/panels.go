package kernel

import (
	"fmt"
	"runtime"
)

// Format says how a weight matrix is kept in its panels.
type Format uint8

// The formats. A quantised one keeps its bit width; its rows are cut into
// blocks along K, of 32 values unless said, each with a scale d (and minimum m):
// half-precision numbers, or for the K formats the product of an f16 of 256
// values and a small integer of the block (s, t).
const (
	FormatF32   Format = iota
	FormatBF16         // bfloat16
	FormatQ4           // value = d*(q-8), q = 0..15 (GGUF Q4_0)
	FormatQ4Min        // value = d*q + m, q = 0..15 (GGUF Q4_1)
	FormatQ8           // value = d*q, q = -128..127 (GGUF Q8_0)
	FormatQ5           // value = d*(q-16), q = 0..31 (GGUF Q5_0)
	FormatQ5Min        // value = d*q + m, q = 0..31 (GGUF Q5_1)
	FormatQ4K          // value = (d*s)*q - m*t, q = 0..15, s and t = 0..255 (GGUF Q4_K)
	FormatQ5K          // value = (d*s)*q - m*t, q = 0..31, s and t = 0..255 (GGUF Q5_K)
	FormatQ6K          // value = (d*s)*(q-32), q = 0..63, s = -128..127, blocks of 16 (GGUF Q6_K)
	FormatNF4          // value = NF4[q]*d, q = 0..15, blocks of 64, d itself quantised: see SetNested
	numFormats
)

func (f Format) String() string {
	return [...]string{"f32", "bf16", "q4", "q4min", "q8", "q5", "q5min", "q4k", "q5k", "q6k", "nf4", "unknown"}[min(f, numFormats)]
}

func (f Format) quantised() bool { return f >= FormatQ4 && f < numFormats }

const (
	panelCols = 64 // columns of a panel (rows of W)
	laneCols  = 16 // columns of a vector
	blockK    = 32 // elements of a quantised block along K
)

// Panels is the right side of a multiply: a matrix W [N, K] (out, in), packed
// once into panels of 64 columns n, so that one layout serves one row and
// thousands. Memory of panel p, in this order:
//
//	f32    for each k: the columns' values. The last panel's columns are padded
//	       with zeros to a multiple of 16.
//	bf16   for each pair (2j, 2j+1) of k: each column's two values. Odd K is
//	       padded with a zero, the last panel as in f32.
//	q4     for each block of 32 k: 16 vectors of 32 words, one per pair of k.
//	       Word 2c+i of vector j holds in bits 4v..4v+3 the code of column
//	       16v+c at k = 2j+i; then 64 scales (f16).
//	q4min  as q4, then 64 minima (f16).
//	q8     for each block of 32 k: for each pair of k, each column's two codes;
//	       then 64 scales (f16).
//	others see grouping
type Panels struct {
	N, K   int
	Format Format

	data  []byte
	panel int // bytes of a full panel
	block int // bytes of one quantised block of 32 x 64
	nest  nesting
}

// NewPanels allocates zeroed panels for W [n, k]. Quantised formats need k to
// be a multiple of 32, NF4 of 64, the K formats of 256.
func NewPanels(f Format, n, k int) *Panels {
	if n < 0 || k < 0 || f >= numFormats {
		panic(fmt.Sprintf("kernel: panels of format %v, %d x %d", f, n, k))
	}
	if unit := f.unit(); k%unit != 0 {
		panic(fmt.Sprintf("kernel: %v panels of %d x %d: the row length must be a multiple of %d", f, n, k, unit))
	}
	p := &Panels{N: n, K: k, Format: f}
	last := panelCols
	switch f {
	case FormatF32:
		p.panel = k * panelCols * 4
	case FormatBF16:
		p.panel = (k + 1) / 2 * panelCols * 4
	case FormatQ4:
		p.block = 16*64 + 128
	case FormatQ4Min:
		p.block = 16*64 + 256
	case FormatQ8:
		p.block = 32*64 + 128
	}
	if g := f.grouping(); g != nil {
		p.panel = g.panelBytes(k)
	} else if f.quantised() {
		p.panel = k / blockK * p.block
	} else if n%panelCols != 0 {
		last = (n%panelCols + laneCols - 1) &^ (laneCols - 1)
	}
	count := p.count()
	if count == 0 || p.panel == 0 {
		return p
	}
	var memory weightMemory
	p.data, memory = weightBytes((count-1)*p.panel + p.panel/panelCols*last)
	runtime.AddCleanup(p, weightMemory.free, memory)
	return p
}

// Bytes is the memory that the packed weights take.
func (p *Panels) Bytes() int64 { return int64(len(p.data)) }

// count is the number of panels.
func (p *Panels) count() int { return (p.N + panelCols - 1) / panelCols }

// cols is the number of columns of panel i, without padding.
func (p *Panels) cols(i int) int { return min(panelCols, p.N-i*panelCols) }

// width is the number of columns of panel i with its padding.
func (p *Panels) width(i int) int {
	if p.Format.quantised() {
		return panelCols
	}
	return (p.cols(i) + laneCols - 1) &^ (laneCols - 1)
}

// bytes is the memory of panel i.
func (p *Panels) bytes(i int) []byte {
	return p.data[i*p.panel : min((i+1)*p.panel, len(p.data))]
}

// blockAt is the memory of block b (32 k) of quantised panel i.
func (p *Panels) blockAt(i, b int) []byte {
	off := i*p.panel + b*p.block
	return p.data[off : off+p.block]
}

// scales and mins are the half-precision parts of a quantised block.
func (p *Panels) scales(block []byte) []uint16 {
	at := 16 * 64
	if p.Format == FormatQ8 {
		at = 32 * 64
	}
	return asU16(block[at : at+128])
}

func (p *Panels) mins(block []byte) []uint16 { return asU16(block[16*64+128 : 16*64+256]) }

func (p *Panels) checkRow(what string, n, got, want int, formats ...Format) {
	if n < 0 || n >= p.N {
		panic(fmt.Sprintf("kernel: %s: row %d of panels with %d rows", what, n, p.N))
	}
	if got < want {
		panic(fmt.Sprintf("kernel: %s: row of %d values, panels have %d columns", what, got, want))
	}
	for _, f := range formats {
		if f == p.Format {
			return
		}
	}
	if len(formats) > 0 {
		panic(fmt.Sprintf("kernel: %s does not fit panels of format %v", what, p.Format))
	}
}
