package infer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/lora"
	"dlm/engine/sample"
)

// TestBitsOnEveryMachine samples with an adapter and compares tokens and
// log-probabilities with those of another architecture, written down here: x86
// and arm64 serve the same. A change that means to change numbers writes the
// new ones down.
func TestBitsOnEveryMachine(t *testing.T) {
	for _, c := range []struct {
		base string
		mode kernel.Mode
		want string
	}{
		{"llama-tied", kernel.BF16, "130bb08190fe4a4c"},
		{"llama-tied", kernel.F32, "bf4ebeb0a06762ba"},
		{"llama3-untied", kernel.BF16, "977758d26f3383dd"},
		{"qwen2", kernel.BF16, "da50947b13cb091d"},
		{"llama-tied/q4_1.gguf", kernel.BF16, "c3b241a7219a96b2"},
	} {
		m := tiny(t, c.base, c.mode, 2)
		a := lora.New(m, lora.Config{Rank: 4, Alpha: 8}, 7)
		for _, p := range a.Params() {
			for i := range p.Value {
				if p.Transposed { // B, which begins at zero
					p.Value[i] = float32((i*37)%101-50) / 1000
				}
			}
		}
		a.Repack(m.Exec())
		var reqs []Request
		for i, p := range []sample.Params{
			{}, {Temperature: 0.8, Seed: 3}, {Temperature: 1.3, TopP: 0.9, Seed: 4}, {Temperature: 1, TopK: 20, MinP: 0.02, RepetitionPenalty: 1.2, Seed: 5},
		} {
			r := Request{MaxTokens: 12, Sampling: p}
			if i%2 == 1 {
				r.Adapter = a
			}
			for k := range 5 + 30*i {
				r.IDs = append(r.IDs, int32((k*k*7+k+i)%m.Config().Vocab))
			}
			reqs = append(reqs, r)
		}
		h := sha256.New()
		for _, r := range generate(t, engine(t, m, Options{}), reqs...) {
			for _, tok := range r.Tokens {
				_ = binary.Write(h, binary.LittleEndian, tok.ID)
				_ = binary.Write(h, binary.LittleEndian, math.Float32bits(tok.LogProb))
			}
		}
		if got := hex.EncodeToString(h.Sum(nil)[:8]); got != c.want {
			t.Errorf("%s in %v with kernels %s: tokens and log-probabilities have hash %s, want %s", c.base, c.mode, m.Exec().Name(), got, c.want)
		}
	}
}
