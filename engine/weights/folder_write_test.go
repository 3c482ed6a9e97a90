package weights

import (
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestFolderHoldsTheBase: what is written as a folder opens as the same base, with
// the same values, for each architecture and stored type.
func TestFolderHoldsTheBase(t *testing.T) {
	t.Setenv("DLM_CACHE", t.TempDir())
	for _, name := range []string{"llama-tied", "llama-tied/q4_1.gguf", "llama-tied/mixed.gguf", "llama3-untied", "llama3-untied/q8_0.gguf", "qwen2", "qwen2/q8_0.gguf", "qwen3/q8_0.gguf", "qwen3-untied"} {
		c := openTiny(t, name)
		for _, as := range []Type{F32, BF16, F16} {
			dir := t.TempDir()
			if err := c.WriteFolder(dir, FolderOptions{Type: as, IDs: TokenIDs{1, 2, -1, []int32{2, 3}}}); err != nil {
				t.Fatal(name, err)
			}
			back, err := Open(dir)
			if err != nil {
				t.Fatal(name, err)
			}
			want, got := c.Config, back.Config
			want.Name, got.Name = "", ""
			if s, w := got.RopeScaling, want.RopeScaling; s != nil && w != nil && *s == *w {
				got.RopeScaling = w
			}
			if got != want {
				t.Errorf("%s as %s: config %+v, expected %+v", name, as, got, want)
			}
			for _, tn := range back.Names() {
				a, _ := c.Tensor(tn)
				b, _ := back.Tensor(tn)
				if b.Type != as || !slices.Equal(a.Shape, b.Shape) {
					t.Fatalf("%s: %s is %s %v, expected %s %v", name, tn, b.Type, b.Shape, as, a.Shape)
				}
				x := a.F32()
				for i, v := range b.F32() {
					w := rounded(as, x[i])
					if v != w {
						t.Fatalf("%s: %s[%d] = %v as %s, expected %v", name, tn, i, v, as, w)
					}
				}
			}
			back.Close()
		}
	}
}

func rounded(as Type, v float32) float32 {
	b, out := make([]byte, 4), make([]float32, 1)
	formats[as].put(b, []float32{v})
	formats[as].row(out, b)
	return out[0]
}

// TestRecastOfNF4: the rows of a base quantised as it is loaded are those that its
// f32 panels multiply by.
func TestRecastOfNF4(t *testing.T) {
	c := openTiny(t, "llama-tied")
	if err := c.QuantizeNF4(); err != nil {
		t.Fatal(err)
	}
	const name = "model.layers.1.mlp.gate_proj.weight"
	s, err := c.Recast(name, F32, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := s.Write(&b); err != nil {
		t.Fatal(err)
	}
	tensor, _ := c.Tensor(name)
	got, plain, values := make([]float32, tensor.Rows*tensor.Cols), tensor.F32(), map[float32]bool{}
	rowF32(got, []byte(b.String()))
	for i := range 64 {
		values[got[i]] = true
		if math.Abs(float64(got[i]-plain[i])) > 0.1 {
			t.Fatalf("element %d is %v, expected about %v", i, got[i], plain[i])
		}
	}
	if len(values) > 16 {
		t.Fatalf("a block holds %d different values; four bits have 16", len(values))
	}
}

// TestRecastRefuses: nothing that a type cannot hold, nothing that does not exist.
func TestRecastRefuses(t *testing.T) {
	c := openTiny(t, "llama-tied")
	for _, v := range []float32{float32(math.NaN()), float32(math.Inf(1)), 1e5} {
		s, err := c.Recast("model.layers.0.mlp.up_proj.weight", F16, func(r int, row []float32) {
			if r == 77 {
				row[3] = v
			}
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		expectError(t, s.Write(io.Discard), "row 77", "F16")
	}
	_, err := c.Recast("no.such", F32, nil, nil)
	expectError(t, err, "no.such")
	_, err = c.Recast("model.norm.weight", Q5_K, nil, nil)
	expectError(t, err, "Q5_K")
	dir := t.TempDir()
	err = c.WriteFolder(dir, FolderOptions{Type: F32, Edit: func(string) Edit {
		return func(_ int, row []float32) { row[0] = float32(math.NaN()) }
	}})
	expectError(t, err, "not finite")
	if _, err := os.Stat(filepath.Join(dir, "model.safetensors")); !errors.Is(err, os.ErrNotExist) {
		t.Error("half a file was left:", err)
	}
	expectError(t, c.WriteFolder(dir, FolderOptions{Type: Q8_0}), "Q8_0", "BF16")
}
