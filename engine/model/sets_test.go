package model_test

import (
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/model"
)

// TestKernelSetsGiveTheSameBits runs a training pass, with a loss and gradients,
// on every kernel set of this machine with one thread and two.
func TestKernelSetsGiveTheSameBits(t *testing.T) {
	for _, dir := range []string{"llama3-untied", "qwen3"} {
		for _, mode := range []kernel.Mode{kernel.BF16, kernel.F32} {
			t.Run(fmt.Sprint(dir, " ", mode), func(t *testing.T) {
				g := readGolden(t, filepath.Join(tinyDir, dir, "golden.json"))
				g.SFT.Rows = g.SFT.Rows[:1] // the portable set is slow
				var first []uint64
				for _, set := range kernel.Sets() {
					if !set.Available {
						continue
					}
					for _, threads := range []int{1, 2} {
						m := loadWith(t, filepath.Join(tinyDir, dir), set.Name, mode, threads)
						ad := loadPEFT(t, filepath.Join(tinyDir, dir, "adapter"), m, true)
						got := []uint64{math.Float64bits(sftGradients(t, m, g, ad, true))}
						for l := range m.Config().Layers {
							for mod := range model.NumModules {
								lo := ad.Projection(l, mod)
								got = append(got, bitsOf(lo.GradA), bitsOf(lo.GradBT))
							}
						}
						if first == nil {
							first = got
						}
						for i := range got {
							if got[i] != first[i] {
								t.Fatalf("%s with %d threads: loss or gradient %d has other bits than with the first", set.Name, threads, i)
							}
						}
					}
				}
			})
		}
	}
}

// bitsOf is a hash of a slice's bits (FNV-1a).
func bitsOf(v []float32) uint64 {
	h := uint64(14695981039346656037)
	for _, f := range v {
		h = (h ^ uint64(math.Float32bits(f))) * 1099511628211
	}
	return h
}
