package weights

import (
	"io"
	"math"
	"path/filepath"
	"testing"
)

// Every type comes out with the spread that was asked for, the same for the
// same seed, and can be read back.
func TestRandom(t *testing.T) {
	const rows, cols, std = 64, 256, 0.02
	for _, ty := range []Type{F32, F16, BF16, Q4_0, Q4_1, Q8_0, Q4_K, Q5_K, Q6_K} {
		path := filepath.Join(t.TempDir(), "random.gguf")
		a, err := Random("a", ty, []int{rows, cols}, std, 1)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := Random("b", ty, []int{rows, cols}, std, 1)
		if err := StreamGGUF(path, nil, []Streamed{a, b, {Name: "a again", Type: ty, Shape: a.Shape, Write: a.Write}}); err != nil {
			t.Fatal(err)
		}
		g, err := OpenGGUF(path)
		if err != nil {
			t.Fatal(err)
		}
		var values [3][]float32
		for i, name := range []string{"a", "b", "a again"} {
			w, err := g.Tensor(name)
			if err != nil {
				t.Fatal(err)
			}
			values[i] = w.F32()
		}
		g.Close()
		sum, square, same, other := 0.0, 0.0, true, false
		for i, v := range values[0] {
			sum, square = sum+float64(v), square+float64(v)*float64(v)
			same, other = same && v == values[2][i], other || v != values[1][i]
		}
		n := float64(len(values[0]))
		if mean, got := sum/n, math.Sqrt(square/n); math.Abs(mean) > std/20 || math.Abs(got-std) > std/20 {
			t.Errorf("%s: mean %g, standard deviation %g, want 0 and %g", ty, mean, got, std)
		}
		if !same || !other {
			t.Errorf("%s: the same seed and name give the same values: %v; another name others: %v", ty, same, other)
		}
	}
}

// A stream of another length than its shape takes must not become a file.
func TestStreamGGUFCountsBytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "short.gguf")
	s := Streamed{"a", F32, []int{4}, func(w io.Writer) error { _, err := w.Write(make([]byte, 12)); return err }}
	expectError(t, StreamGGUF(path, nil, []Streamed{s}), "wrote 12 bytes", "takes 16")
	if _, err := OpenGGUF(path); err == nil {
		t.Error("the file is there")
	}
	_, err := Random("a", numTypes, []int{4}, 1, 1)
	expectError(t, err, "unknown type")
	_, err = Random("a", Q8_0, []int{4}, 1, 1)
	expectError(t, err, "divisible by 32")
}
