package model_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sort"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/model"
	"dlm/engine/weights"
)

// realModel is the path of SmolLM2-135M-Instruct's Q4_1 GGUF: the tests that
// need it are left out where it has not been pulled.
func realModel(t testing.TB) string {
	t.Helper()
	if p := os.Getenv("DLM_TEST_MODEL"); p != "" {
		return p
	}
	if dir, err := os.UserCacheDir(); err == nil {
		if m, _ := filepath.Glob(filepath.Join(dir, "dlm", "models", "smollm2-135m-instruct", "*.gguf")); len(m) > 0 {
			return m[0]
		}
	}
	t.Skip("SmolLM2-135M-Instruct is not on this machine: run \"dlm pull smollm2-135m-instruct\", or set DLM_TEST_MODEL to its GGUF")
	return ""
}

func goldenFile(t testing.TB, name string, v any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../testdata/goldens", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}

type logitCase struct {
	Name       string    `json:"name"`
	PromptIDs  []int32   `json:"prompt_ids"`
	CompIDs    []int32   `json:"completion_ids"`
	TopIDs     []int32   `json:"top_ids"`
	TopLogits  []float64 `json:"top_logits_f64"`
	LogSumExp  float64   `json:"logsumexp_f64"`
	LogProbs   []float64 `json:"completion_logprobs_f64"`
	GreedyIDs  []int32   `json:"greedy32_ids"`
	GreedyGaps []float64 `json:"greedy32_margins_f64"`
}

func TestRealModelMatchesGoldens(t *testing.T) {
	path := realModel(t)
	var file struct{ Cases []logitCase }
	goldenFile(t, "logits.json", &file)
	for _, mode := range []kernel.Mode{kernel.F32, kernel.BF16} {
		m := load(t, path, mode, 2)
		var diffs []float64
		kl := 0.0
		for _, c := range file.Cases {
			logps, last := completionLogProbs(t, m, c.PromptIDs, c.CompIDs, nil, 0)
			for i, lp := range logps {
				diffs = append(diffs, math.Abs(float64(lp)-c.LogProbs[i]))
			}
			worst, k := 0.0, 0.0
			for i, id := range c.TopIDs {
				ours := float64(m.LogSoftmaxAt(last, id))
				want := c.TopLogits[i] - c.LogSumExp
				worst = max(worst, math.Abs(ours-want))
				k += math.Exp(want) * (want - ours)
			}
			kl = max(kl, k)
			if mode == kernel.F32 && worst > 1e-4 {
				t.Errorf("%s: log-probabilities of the 64 likeliest tokens differ by up to %g", c.Name, worst)
			}
			t.Logf("%s, %s: the 64 likeliest tokens' log-probabilities differ by at most %.2g", c.Name, mode, worst)
			checkGreedy(t, m, c, mode)
		}
		sort.Float64s(diffs)
		mean := 0.0
		for _, d := range diffs {
			mean += d / float64(len(diffs))
		}
		p99, worst := diffs[len(diffs)*99/100], diffs[len(diffs)-1]
		t.Logf("%s: completion log-probabilities differ by %.2g on average, %.2g at the 99th percentile, %.2g at most; KL %.2g", mode, mean, p99, worst, kl)
		if mode == kernel.F32 && worst > 1e-4 || mode == kernel.BF16 && (mean > 0.02 || p99 > 0.1 || kl > 5e-4) {
			t.Errorf("%s: beyond the tolerance that docs/ARCHITECTURE.md states", mode)
		}
	}
}

// checkGreedy feeds the golden tokens and asks whether each next one is chosen,
// as far as the reference's own margin decides it.
func checkGreedy(t *testing.T, m *model.Model, c logitCase, mode kernel.Mode) {
	t.Helper()
	limit := 1e-3
	if mode == kernel.BF16 {
		limit = 0.2
	}
	ids := append(append([]int32{}, c.PromptIDs...), c.GreedyIDs...)
	p := m.NewPass(len(ids), 0, false)
	if err := p.Forward([]model.Segment{{IDs: ids}}); err != nil {
		t.Fatal(err)
	}
	logits := make([]float32, m.Config().Vocab)
	for i, want := range c.GreedyIDs {
		if c.GreedyGaps[i] < limit {
			continue
		}
		p.Logits(logits, len(c.PromptIDs)-1+i)
		best := int32(0)
		for id, v := range logits {
			if v > logits[best] {
				best = int32(id)
			}
		}
		if best != want {
			t.Errorf("%s, %s: greedy token %d is %d; the reference has %d with a margin of %g", c.Name, mode, i, best, want, c.GreedyGaps[i])
		}
	}
}

type trainGolden struct {
	SFT struct {
		Batch struct {
			IDs  [][]int32 `json:"input_ids"`
			Att  [][]int   `json:"attention_mask"`
			Mask [][]int   `json:"completion_mask"`
		} `json:"batch"`
		Loss          float64            `json:"loss"`
		GradNorm      map[string]float64 `json:"grad_norm"`
		GradNormTotal float64            `json:"grad_norm_total"`
	} `json:"sft"`
}

// sftBatch turns the padded golden batch into rows without padding.
func (g trainGolden) sftBatch() golden {
	var out golden
	for i, ids := range g.SFT.Batch.IDs {
		n := 0
		for _, a := range g.SFT.Batch.Att[i] {
			n += a
		}
		out.SFT.Rows = append(out.SFT.Rows, struct {
			IDs  []int32 `json:"ids"`
			Mask []int   `json:"mask"`
		}{ids[:n], g.SFT.Batch.Mask[i][:n]})
	}
	return out
}

// TestRealModelGradients needs the adapter that the goldens start from; make
// goldens writes it (10 MB, so it is not in the repository).
func TestRealModelGradients(t *testing.T) {
	path := realModel(t)
	init := os.Getenv("DLM_TEST_LORA_INIT")
	if init == "" {
		t.Skip("set DLM_TEST_LORA_INIT to the folder that engine/testdata/goldens/make_lora_init.py writes")
	}
	var g trainGolden
	goldenFile(t, "train.json", &g)
	for _, mode := range []kernel.Mode{kernel.F32, kernel.BF16} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			m := load(t, path, mode, 2)
			ad := loadPEFT(t, init, m, true)
			for _, lo := range ad.loras {
				if lo.Rank != 16 {
					t.Fatalf("rank %d", lo.Rank)
				}
			}
			loss := sftGradientsRank(t, m, g.sftBatch(), ad, true, 16)
			lossTol, gradTol, totalTol := 1e-5, 1e-4, 5e-5
			if mode == kernel.BF16 {
				lossTol, gradTol, totalTol = 0.001, 0.05, 0.002
			}
			if math.Abs(loss-g.SFT.Loss) > lossTol*g.SFT.Loss {
				t.Errorf("loss %g, PyTorch %g", loss, g.SFT.Loss)
			}
			worst, total := 0.0, 0.0
			for key, lo := range ad.loras {
				for suffix, grad := range map[string][]float32{".lora_A.weight": lo.GradA, ".lora_B.weight": lo.GradBT} {
					want, got := g.SFT.GradNorm[ad.names[key]+suffix], norm(grad)
					total += got * got
					rel := math.Abs(got-want) / want
					worst = max(worst, rel)
					if rel > gradTol {
						t.Errorf("%s%s: gradient norm %g, PyTorch %g", ad.names[key], suffix, got, want)
					}
				}
			}
			total = math.Sqrt(total)
			if math.Abs(total-g.SFT.GradNormTotal) > totalTol*g.SFT.GradNormTotal {
				t.Errorf("total gradient norm %g, PyTorch %g", total, g.SFT.GradNormTotal)
			}
			t.Logf("loss %.7g (PyTorch %.7g), total gradient norm %.6g (%.6g), largest relative difference of %d norms %.2g",
				loss, g.SFT.Loss, total, g.SFT.GradNormTotal, len(g.SFT.GradNorm), worst)
			if mode == kernel.F32 {
				checkFullReal(t, ad)
			}
		})
	}
}

func checkFullReal(t *testing.T, ad *peft) {
	t.Helper()
	st, err := weights.OpenSafetensors("../testdata/goldens/train_tensors.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	checked := 0
	for key, lo := range ad.loras {
		if want, err := st.Tensor("grad/" + ad.names[key] + ".lora_A.weight"); err == nil {
			checkGradient(t, want.Name, want, func(r, c int) float32 { return lo.GradA[r*want.Cols+c] })
			checked++
		}
		if want, err := st.Tensor("grad/" + ad.names[key] + ".lora_B.weight"); err == nil {
			checkGradient(t, want.Name, want, func(r, c int) float32 { return lo.GradBT[c*want.Rows+r] })
			checked++
		}
	}
	if checked != 4 {
		t.Errorf("%d full gradients compared; the golden file holds 4", checked)
	}
}
