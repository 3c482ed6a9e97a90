package weights

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"dlm/engine/kernel"
)

// naive returns element i of a row, straight from the formats' definitions.
func naive(t Type, src []byte, i int) float32 {
	half := func(at int) float32 { return kernel.F32FromF16(binary.LittleEndian.Uint16(src[at:])) }
	nibble := func(at int) int {
		j := i % 32
		if j < 16 {
			return int(src[at+j]) % 16
		}
		return int(src[at+j-16]) / 16
	}
	b := i / 32
	fifth := func(at, j int) int { return int(src[at+j/8]) >> (j % 8) & 1 * 16 }
	switch t {
	case F32:
		return math.Float32frombits(uint32(src[4*i]) | uint32(src[4*i+1])<<8 | uint32(src[4*i+2])<<16 | uint32(src[4*i+3])<<24)
	case F16:
		return half(2 * i)
	case BF16:
		return math.Float32frombits(uint32(src[2*i])<<16 | uint32(src[2*i+1])<<24)
	case Q4_0:
		return half(18*b) * float32(nibble(18*b+2)-8)
	case Q4_1:
		product := half(20*b) * float32(nibble(20*b+4))
		return product + half(20*b+2)
	case Q8_0:
		return half(34*b) * float32(int8(src[34*b+2+i%32]))
	}
	switch t {
	case Q5_0:
		return half(22*b) * float32(nibble(22*b+6)+fifth(22*b+2, i%32)-16)
	case Q5_1:
		product := half(24*b) * float32(nibble(24*b+8)+fifth(24*b+4, i%32))
		return product + half(24*b+2)
	}
	return naiveK(t, src[i/256*formats[t].bytes:], i%256)
}

// naiveK returns element i of a block of 256.
func naiveK(t Type, blk []byte, i int) float32 {
	half := func(at int) float32 { return kernel.F32FromF16(binary.LittleEndian.Uint16(blk[at:])) }
	if t == Q6_K { // 128 low halves, 64 bytes of two high bits each, 16 factors, d
		part, in := i/128, i%128
		low := blk[64*part+in%64] >> (in / 64 * 4) & 15
		high := blk[128+32*part+in%32] >> (in / 32 * 2) & 3
		d := half(208) * float32(int8(blk[192+i/16]))
		return d * float32(int(low)+16*int(high)-32)
	}
	// d, m, then 12 bytes: bits of the factors of 8 blocks
	b, six := i/32, blk[4:16]
	s, m := six[b%4]&63, six[4+b%4]&63
	if b >= 4 {
		s, m = six[8+b%4]&15+six[b%4]>>6*16, six[8+b%4]>>4+six[4+b%4]>>6*16
	}
	codes := blk[16:]
	q := 0
	if t == Q5_K {
		codes = blk[48:]
		q = int(blk[16+i%32]) >> b & 1 * 16
	}
	q += int(codes[b/2*32+i%32]) >> (b % 2 * 4) & 15
	product := half(0) * float32(s) * float32(q)
	return product - half(2)*float32(m)
}

// randomRows returns rows of random blocks whose scales are ordinary numbers.
func randomRows(rng *rand.Rand, t Type, rows, cols int) []byte {
	per, size := t.Block()
	data := make([]byte, rows*cols/per*size)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	scales := map[Type]int{Q4_0: 1, Q4_1: 2, Q8_0: 1, Q5_0: 1, Q5_1: 2, Q4_K: 2, Q5_K: 2, Q6_K: 1}[t]
	first := 0
	if t == Q6_K {
		first = 208
	}
	for at := first; scales > 0 && at < len(data); at += size {
		for k := range scales {
			binary.LittleEndian.PutUint16(data[at+2*k:], kernel.F16FromF32(rng.Float32()*0.2-0.1))
		}
	}
	if t == F32 || t == F16 || t == BF16 {
		for at := 0; at < len(data); at += size {
			v := rng.Float32()*2 - 1
			switch t {
			case F32:
				binary.LittleEndian.PutUint32(data[at:], math.Float32bits(v))
			case F16:
				binary.LittleEndian.PutUint16(data[at:], kernel.F16FromF32(v))
			case BF16:
				binary.LittleEndian.PutUint16(data[at:], kernel.BF16FromF32(v))
			}
		}
	}
	return data
}

func TestDecodersEqualTheDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for typ := range numTypes {
		const rows, cols = 3, 512
		w, err := newTensor("w", typ, []int{rows, cols}, randomRows(rng, typ, rows, cols))
		if err != nil {
			t.Fatal(err)
		}
		got := w.F32()
		for i, v := range got {
			r, c := i/cols, i%cols
			if want := naive(typ, w.row(r), c); math.Float32bits(v) != math.Float32bits(want) {
				t.Fatalf("%s [%d %d]: %v, expected %v", typ, r, c, v, want)
			}
		}
	}
}

// TestHandWrittenBlocks pins the layout with values worked out by hand.
func TestHandWrittenBlocks(t *testing.T) {
	q40 := make([]byte, 18)
	binary.LittleEndian.PutUint16(q40, 0x3800) // 0.5
	q40[2], q40[17] = 0x1f, 0xa0               // elements 0, 16 = 15, 1; elements 15, 31 = 0, 10
	dst := make([]float32, 32)
	rowQ4_0(dst, q40)
	for i, want := range map[int]float32{0: 3.5, 16: -3.5, 15: -4, 31: 1, 1: -4} {
		if dst[i] != want {
			t.Errorf("Q4_0 element %d is %v, expected %v", i, dst[i], want)
		}
	}
	q41 := make([]byte, 20)
	binary.LittleEndian.PutUint16(q41, 0x4000)     // 2
	binary.LittleEndian.PutUint16(q41[2:], 0xbc00) // -1
	q41[4] = 0x73
	rowQ4_1(dst, q41)
	if dst[0] != 5 || dst[16] != 13 || dst[1] != -1 {
		t.Errorf("Q4_1 elements 0, 16, 1 are %v %v %v, expected 5 13 -1", dst[0], dst[16], dst[1])
	}
	q8 := make([]byte, 34)
	binary.LittleEndian.PutUint16(q8, 0x3c00) // 1
	q8[2], q8[33] = 0x80, 0x7f
	rowQ8_0(dst, q8)
	if dst[0] != -128 || dst[31] != 127 {
		t.Errorf("Q8_0 elements 0, 31 are %v %v, expected -128 127", dst[0], dst[31])
	}
}

func TestInterleavedIsThePublishedPermutation(t *testing.T) {
	// llama.cpp's converter: reshape(heads, 2, d/2).swapaxes(1, 2), so file row
	// (head, pair, half) holds Hugging Face row (head, half, pair).
	const heads, d = 3, 8
	seen := map[int]bool{}
	for h := range heads {
		for half := range 2 {
			for pair := range d / 2 {
				at := interleaved(h*d+half*d/2+pair, d)
				if want := h*d + pair*2 + half; at != want {
					t.Errorf("head %d half %d pair %d lies at %d, expected %d", h, half, pair, at, want)
				}
				seen[at] = true
			}
		}
	}
	if len(seen) != heads*d {
		t.Error("not a permutation")
	}
}
