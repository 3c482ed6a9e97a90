package train

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/lora"
)

// TestBitsOnEveryMachine trains for some steps and compares the adapter's bytes
// and the losses with those of another architecture, written down here: what is
// trained on x86 is served on arm64. A change that means to change numbers
// writes the new ones down.
func TestBitsOnEveryMachine(t *testing.T) {
	for _, c := range []struct {
		base string
		mode kernel.Mode
		want string
	}{
		{"llama-tied", kernel.BF16, "50c16fcd629cd868"},
		{"llama-tied", kernel.F32, "89e6c117ce8c180f"},
		{"llama3-untied", kernel.BF16, "e95e268924f2f0aa"},
		{"llama-tied/q4_1.gguf", kernel.BF16, "063e8963b58caf63"},
	} {
		m := tiny(t, c.base, c.mode, 2)
		a := lora.New(m, adapterConfig(), 3)
		res, err := Run(context.Background(), m, a, synthetic(9, m.Config().Vocab), synthetic(2, m.Config().Vocab), recipe(), t.TempDir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		for _, p := range a.Params() {
			_ = binary.Write(h, binary.LittleEndian, p.Value)
		}
		for _, l := range res.Losses {
			_ = binary.Write(h, binary.LittleEndian, math.Float64bits(l))
		}
		if got := hex.EncodeToString(h.Sum(nil)[:8]); got != c.want {
			t.Errorf("%s in %v with kernels %s: adapter and losses %v have hash %s, want %s", c.base, c.mode, m.Exec().Name(), res.Losses, got, c.want)
		}
	}
}
