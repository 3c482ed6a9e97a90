package weights

import (
	"fmt"
	"math"
	"slices"

	"dlm/engine/kernel"
)

// NF4 is a matrix quantised to 4-bit NormalFloat with double quantisation, as
// QLoRA does (Dettmers et al. 2023, arXiv 2305.14314): blocks of 64 along a row
// share the largest magnitude; those, less their mean, are themselves quantised
// to 8 bits in blocks of 256. Codes, scales and values are those of bitsandbytes'
// CPU build, with one thread, to the last bit.
type NF4 struct {
	Rows, Cols int
	Absmax     []uint8   // per block of 64: index of DynamicCode
	Nested     []float32 // per 256 blocks: the largest magnitude of what Absmax stands for
	Offset     float32   // mean of the blocks' largest magnitudes

	exact []float32 // per block: the largest magnitude before it was quantised
}

const (
	nf4Block    = 64
	nestedBlock = 256
)

// nf4Bounds are the midpoints between neighbouring entries of the code book.
var nf4Bounds = func() (b [15]float32) {
	for i := range b {
		b[i] = (kernel.NF4[i] + kernel.NF4[i+1]) / 2
	}
	return b
}()

// DynamicCode is the 8-bit dynamic data type (Dettmers 2015, arXiv 1511.04561) in
// which the scales are kept: seven decades, with twice as many values in each.
var DynamicCode = func() (code [256]float32) {
	at := 0
	put := func(v float32) { code[at] = v; at++ }
	for decade := range 7 {
		n := 1<<decade + 1 // boundaries from 0.1 to 1
		step := float32(1-float32(0.1)) / float32(n-1)
		boundary := func(i int) float32 { // from the nearer end, rounded once
			if i < n/2 {
				return float32(float64(float32(0.1)) + float64(float64(step)*float64(i)))
			}
			return float32(1 - float64(float64(step)*float64(n-1-i)))
		}
		power := float32(math.Pow10(decade - 6))
		for i := range n - 1 {
			v := power * ((boundary(i) + boundary(i+1)) / 2)
			put(v)
			put(-v)
		}
	}
	put(0)
	put(1)
	slices.Sort(code[:])
	return code
}()

// dynamicNearest maps 65536 equal steps from -1 to 1 to the nearest code.
var dynamicNearest = func() (near [1 << 16]uint8) {
	at := 0
	for i := range near {
		v := float32(float64(i)/65535*2 - 1)
		for at < 255 && math.Abs(float64(v)-float64(DynamicCode[at+1])) < math.Abs(float64(v)-float64(DynamicCode[at])) {
			at++
		}
		near[i] = uint8(at)
	}
	return near
}()

// absmaxRow writes the largest magnitude of each block of a row.
func absmaxRow(row, absmax []float32) {
	for b := range absmax {
		var most float32
		for _, v := range row[b*nf4Block : (b+1)*nf4Block] {
			most = max(most, float32(math.Abs(float64(v)))) // NaN stays
		}
		absmax[b] = most
	}
}

// nest quantises the blocks' largest magnitudes, which are in q.exact.
func (q *NF4) nest() error {
	for b, v := range q.exact {
		if v != v || math.IsInf(float64(v), 0) {
			per := q.Cols / nf4Block
			return fmt.Errorf("row %d, elements %d..%d: holds values that are not finite, which nf4 cannot represent", b/per, b%per*nf4Block, (b%per+1)*nf4Block-1)
		}
	}
	q.Offset = mean32(q.exact)
	if math.IsInf(float64(q.Offset), 0) {
		return fmt.Errorf("its values are too large: the sum of the blocks' largest is not finite, and nf4 keeps their mean")
	}
	q.Absmax = make([]uint8, len(q.exact))
	for lo := 0; lo < len(q.exact); lo += nestedBlock {
		hi := min(lo+nestedBlock, len(q.exact))
		var most float32
		for _, v := range q.exact[lo:hi] {
			most = max(most, float32(math.Abs(float64(v-q.Offset))))
		}
		q.Nested = append(q.Nested, most)
		if most == 0 {
			continue // code 0 of scale 0
		}
		inv := 1 / most
		for b := lo; b < hi; b++ {
			v := float32((q.exact[b] - q.Offset) * inv)
			step := int(float32(float32(v+1)*32767.5) + 0.5)
			q.Absmax[b] = dynamicNearest[max(0, min(step, 1<<16-1))]
		}
	}
	return nil
}

// scale is the largest magnitude of block b as it is kept.
func (q *NF4) scale(b int) float32 {
	return float32(DynamicCode[q.Absmax[b]]*q.Nested[b/nestedBlock]) + q.Offset
}

// codes quantises row r: for each element the code book's nearest entry to its part
// of the block's largest magnitude.
func (q *NF4) codes(r int, row []float32, codes []uint8) {
	per := q.Cols / nf4Block
	for b := range per {
		inv := 1 / max(q.exact[r*per+b], 1e-38)
		for i := b * nf4Block; i < (b+1)*nf4Block; i++ {
			codes[i] = nf4Code(float32(row[i] * inv))
		}
	}
}

// nf4Code counts the bounds below v.
func nf4Code(v float32) uint8 {
	c := 0
	for _, half := range [...]int{8, 4, 2, 1} {
		if nf4Bounds[c+half-1] < v {
			c += half
		}
	}
	return uint8(c)
}

// values dequantises row r from its codes: entry times scale, rounded to f32.
func (q *NF4) values(r int, codes []uint8, dst []float32) {
	per := q.Cols / nf4Block
	for b := range per {
		s := q.scale(r*per + b)
		for i := b * nf4Block; i < (b+1)*nf4Block; i++ {
			dst[i] = kernel.NF4[codes[i]] * s
		}
	}
}

// mean32 is the mean as PyTorch's CPU kernel takes it with one thread: vectors of 8
// lanes, four vectors at a time, each of these chains summed in up to four levels;
// then the chains, the last vectors, the elements that fill no vector and the lanes.
func mean32(x []float32) float32 {
	const lanes, chains, levels = 8, 4, 4
	vectors := len(x) / lanes
	rounds := vectors / chains
	power := 4
	for 1<<(power*levels+levels-1) <= rounds-1 { // ceil(log2 rounds) / levels
		power++
	}
	var acc [levels][chains * lanes]float32
	fold := func(to, from int) {
		for i := range acc[to] {
			acc[to][i] += acc[from][i]
		}
	}
	for i := 0; i < rounds; {
		for n := min(1<<power, rounds-i); n > 0; n-- {
			for j, v := range x[i*chains*lanes : (i+1)*chains*lanes] {
				acc[0][j] += v
			}
			i++
			if n == 1 && i&(1<<power-1) == 0 {
				for l := 1; l < levels; l++ {
					fold(l, l-1)
					acc[l-1] = [chains * lanes]float32{}
					if i&((1<<power-1)<<(l*power)) != 0 {
						break
					}
				}
			}
		}
	}
	for l := 1; l < levels; l++ {
		fold(0, l)
	}
	sum := acc[0][:lanes]
	for v := rounds * chains; v < vectors; v++ {
		for j := range lanes {
			sum[j] += x[v*lanes+j]
		}
	}
	for c := 1; c < chains; c++ {
		for j := range lanes {
			sum[j] += acc[0][c*lanes+j]
		}
	}
	var total float32
	for _, v := range x[vectors*lanes:] {
		total += v
	}
	for _, v := range sum {
		total += v
	}
	return total / float32(len(x))
}
