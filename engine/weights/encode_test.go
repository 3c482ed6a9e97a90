package weights

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEncodersEqualGGUF: the formats that leave no choice are written bit by bit as
// the Python package `gguf` writes them. testdata/encode.py makes the files.
func TestEncodersEqualGGUF(t *testing.T) {
	for _, typ := range []Type{Q8_0, Q4_0, Q5_0} {
		data, err := os.ReadFile(filepath.Join("testdata", "encode", strings.ToLower(typ.String())+".bin"))
		if err != nil {
			t.Fatal(err)
		}
		const n = 4096
		x := make([]float32, n)
		rowF32(x, data)
		_, size := typ.Block()
		got := make([]byte, n/32*size)
		formats[typ].put(got, x)
		for b := range n / 32 {
			if want := data[4*n+b*size : 4*n+(b+1)*size]; !bytes.Equal(got[b*size:(b+1)*size], want) {
				t.Fatalf("%s block %d of %v is %x, gguf has %x", typ, b, x[32*b:32*b+32], got[b*size:(b+1)*size], want)
			}
		}
	}
}

// encodeErrors are bounds on the error of normal random weights, as parts of their
// standard deviation: the root of the mean square, which the published formats
// reach within a few percent whatever the search, and the largest.
var encodeErrors = []struct {
	typ       Type
	rms, most float64
}{{F32, 0, 0}, {F16, 3e-4, 2e-3}, {BF16, 2.5e-3, 1.6e-2}, {Q8_0, 6e-3, 2e-2}, {Q5_0, 4.5e-2, 0.17}, {Q4_0, 9e-2, 0.45}, {Q4_K, 7.5e-2, 0.4}, {Q6_K, 1.9e-2, 0.14}}

func TestEncodersLoseLittle(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, c := range encodeErrors {
		for _, size := range []float64{1e-3, 1, 100} {
			x := make([]float32, 1<<14)
			for i := range x {
				x[i] = float32(r.NormFloat64() * size)
			}
			var sum, most float64
			for i, v := range roundTrip(c.typ, x) {
				d := math.Abs(float64(v)-float64(x[i])) / size
				sum, most = sum+d*d, max(most, d)
			}
			if rms := math.Sqrt(sum / float64(len(x))); rms > c.rms || most > c.most {
				t.Errorf("%s at %g: error %.4f (root mean square), %.4f (largest); expected at most %g, %g", c.typ, size, rms, most, c.rms, c.most)
			}
		}
	}
}

func roundTrip(typ Type, x []float32) []float32 {
	per, size := typ.Block()
	b, out := make([]byte, len(x)/per*size), make([]float32, len(x))
	formats[typ].put(b, x)
	formats[typ].row(out, b)
	return out
}

// TestEncodersKeepZeros: blocks without a scale.
func TestEncodersKeepZeros(t *testing.T) {
	for _, c := range encodeErrors {
		x := make([]float32, 512)
		for i, v := range roundTrip(c.typ, x) {
			if v != 0 {
				t.Fatalf("%s: zero became %v at %d", c.typ, v, i)
			}
		}
	}
}

// FuzzEncoders: whatever the finite values, what is written reads back as finite
// values no further away than the block's range, and in the blocks' place.
func FuzzEncoders(f *testing.F) {
	f.Add([]byte{0, 0, 128, 63, 255, 255, 127, 127, 1, 0, 0, 0})
	f.Add(bytes.Repeat([]byte{0xff, 0xff, 0x7f, 0x47}, 40))
	f.Add(bytes.Repeat([]byte{1, 0, 0, 128, 0, 0, 192, 191}, 200))
	f.Fuzz(func(t *testing.T, data []byte) {
		x := make([]float32, 512)
		for i := range min(len(x), len(data)/4) {
			v := math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
			if v == v && abs32(v) <= largestF16 { // writeRows refuses others
				x[i] = v
			}
		}
		for _, c := range encodeErrors {
			out := roundTrip(c.typ, x)
			for b := 0; b < len(x); b += 256 {
				most := float64(magnitude(x[b : b+256]))
				for i := b; i < b+256; i++ {
					if d := math.Abs(float64(out[i]) - float64(x[i])); !(d <= 1.02*most+1e-6) {
						t.Fatalf("%s: %v became %v in a block up to %v", c.typ, x[i], out[i], most)
					}
				}
			}
		}
	})
}
