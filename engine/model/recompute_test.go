package model_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/model"
)

// TestRecompute: activations that are computed again have the bits of those that
// were kept, with dropout, trees of segments, and Backward called twice.
func TestRecompute(t *testing.T) {
	for _, dir := range []string{"llama-tied", "qwen2", "qwen3"} {
		for _, mode := range []kernel.Mode{kernel.F32, kernel.BF16} {
			t.Run(fmt.Sprint(dir, " ", mode), func(t *testing.T) {
				path := filepath.Join(tinyDir, dir)
				m := load(t, path, mode, 2)
				ad := loadPEFT(t, filepath.Join(path, "adapter"), m, true)
				for _, lo := range ad.loras {
					lo.Dropout, lo.Seed = 0.1, 1
				}
				seqs := families(m.Config().Vocab)["three levels"]
				want := runTree(t, m, ad, seqs, true)
				for again := model.Recompute(1); again <= m.Most()+1; again++ {
					got := runTree(t, m, ad, seqs, true, again)
					for key := range want.gradA {
						if !sameBits(got.gradA[key], want.gradA[key]) || !sameBits(got.gradB[key], want.gradB[key]) {
							t.Fatalf("%d layers computed again: another gradient of %s", again, ad.names[key])
						}
					}
				}
				cfg := m.Config()
				kept := model.PassBytes(cfg, mode, 512, 4, true, 2)["activations"]
				least := model.PassBytes(cfg, mode, 512, 4, true, 2, m.Most())["activations"]
				if least >= kept*3/4 {
					t.Errorf("activations of %d layers take %d bytes kept, %d computed again", cfg.Layers, kept, least)
				}
			})
		}
	}
}

// TestRecomputeTwice: a second Backward on the same Forward, whose shared set
// holds another layer by then, adds the same gradient again.
func TestRecomputeTwice(t *testing.T) {
	path := filepath.Join(tinyDir, "llama-tied")
	m := load(t, path, kernel.F32, 1)
	ad := loadPEFT(t, filepath.Join(path, "adapter"), m, true)
	ids := families(m.Config().Vocab)["pair"][0]
	targets, dlogp := []model.Target{{Row: len(ids) - 1, ID: 5}}, []float32{-1}
	gradient := func(times int, again ...model.Recompute) []float32 {
		p := m.NewPass(len(ids), 4, true, again...)
		if err := p.Forward([]model.Segment{{IDs: ids, Adapter: ad}}); err != nil {
			t.Fatal(err)
		}
		for range times {
			for _, lo := range ad.loras {
				clear(lo.GradA)
				clear(lo.GradBT)
			}
			p.Backward(targets, dlogp)
		}
		return append([]float32(nil), ad.Projection(0, model.QProj).GradA...)
	}
	if !sameBits(gradient(2, m.Most()), gradient(1)) {
		t.Error("the second Backward gives another gradient")
	}
}
