package weights

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"

	"dlm/engine/kernel"
)

// Random returns a tensor of random weights around zero with standard deviation
// std, made row by row from seed and name: bases of any shape for benchmarks.
// Types whose blocks it cannot make are an error.
func Random(name string, t Type, shape []int, std float64, seed uint64) (Streamed, error) {
	s := Streamed{Name: name, Type: t, Shape: shape}
	size, err := s.size()
	if err != nil {
		return s, err
	}
	if randomBlock[t] == nil {
		return s, fmt.Errorf("tensor %q: random weights are not made in %s", name, t)
	}
	var key [32]byte
	copy(key[8:], name)
	binary.LittleEndian.PutUint64(key[:], seed)
	_, block := t.Block()
	s.Write = func(w io.Writer) error {
		r := rand.NewChaCha8(key)
		buf := make([]byte, block*(64<<10/block))
		for left := size; left > 0; left -= len(buf) {
			buf = buf[:min(len(buf), left)]
			_, _ = r.Read(buf) // never fails
			for at := 0; at < len(buf); at += block {
				randomBlock[t](buf[at:at+block], std)
			}
			if _, err := w.Write(buf); err != nil {
				return err
			}
		}
		return nil
	}
	return s, nil
}

// randomBlock turns random bytes into one block of the given standard deviation:
// codes stay as they are, scales and single values are made from their bytes.
var randomBlock = [numTypes]func(b []byte, std float64){
	F32: func(b []byte, std float64) {
		binary.LittleEndian.PutUint32(b, math.Float32bits(float32(uniform(b)*std*math.Sqrt(3))))
	},
	F16: func(b []byte, std float64) { putHalf(b, uniform(b)*std*math.Sqrt(3)) },
	BF16: func(b []byte, std float64) {
		binary.LittleEndian.PutUint16(b, kernel.BF16FromF32(float32(uniform(b)*std*math.Sqrt(3))))
	},
	// A uniform code of n values has the standard deviation sqrt((n*n-1)/12).
	// Q4_0's codes go from -8 to 7: a scale of either sign takes their mean away.
	Q4_0: func(b []byte, std float64) {
		putHalf(b, math.Copysign(scaleNear(b, std/math.Sqrt(255./12)), float64(int8(b[2]))))
	},
	Q4_1: func(b []byte, std float64) {
		d := scaleNear(b, std/math.Sqrt(255./12))
		putHalf(b, d)
		putHalf(b[2:], -7.5*d)
	},
	Q8_0: func(b []byte, std float64) { putHalf(b, scaleNear(b, std/math.Sqrt(65535./12))) },
	Q4_K: func(b []byte, std float64) { superBlock(b, std/math.Sqrt(255./12), 7.5) },
	Q5_K: func(b []byte, std float64) { superBlock(b, std/math.Sqrt(1023./12), 15.5) },
	Q6_K: func(b []byte, std float64) {
		for i := range 16 { // signs in turn take the mean of the codes -32 to 31 away
			b[192+i] = byte(int8(16 - i%2*32))
		}
		putHalf(b[208:], scaleNear(b[208:], std/math.Sqrt(4095./12))/16)
	},
}

// superBlock gives the eight blocks of a Q4_K or Q5_K block the factors 32 of
// scale and minimum (12 bytes from the fourth on), so that codes around middle
// are weights around zero.
func superBlock(b []byte, d, middle float64) {
	d = scaleNear(b, d) / 32
	putHalf(b, d)
	putHalf(b[2:], middle*d)
	for i := range 8 {
		b[4+i] = 2<<6 | 32
	}
	clear(b[12:16])
}

// uniform reads two random bytes as a number from -1 to 1.
func uniform(b []byte) float64 { return float64(int16(binary.LittleEndian.Uint16(b))) / (1 << 15) }

// scaleNear varies a block's scale by a quarter.
func scaleNear(b []byte, d float64) float64 { return d * (1 + float64(uniform(b)/4)) }

func putHalf(b []byte, v float64) { binary.LittleEndian.PutUint16(b, kernel.F16FromF32(float32(v))) }
