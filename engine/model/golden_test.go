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

const tinyDir = "../testdata/tiny"

// golden is what transformers and PEFT say of a tiny checkpoint (see the README there).
type golden struct {
	PromptIDs          []int32   `json:"prompt_ids"`
	CompletionIDs      []int32   `json:"completion_ids"`
	LogitsLast         []float32 `json:"logits_last"`
	CompletionLogprobs []float64 `json:"completion_logprobs"`
	Adapters           map[string]struct {
		CompletionLogprobs []float64 `json:"completion_logprobs"`
		LogitsLast         []float32 `json:"logits_last"`
	} `json:"adapters"`
	SFT struct {
		Adapter string `json:"adapter"`
		Rows    []struct {
			IDs  []int32 `json:"ids"`
			Mask []int   `json:"mask"`
		} `json:"rows"`
		Loss          float64            `json:"loss_f64"`
		LossTokens    int                `json:"loss_tokens"`
		GradNorm      map[string]float64 `json:"grad_norm_f64"`
		GradNormTotal float64            `json:"grad_norm_total"`
	} `json:"sft"`
}

func readGolden(t testing.TB, path string) golden {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func load(t testing.TB, path string, mode kernel.Mode, threads int) *model.Model {
	t.Helper()
	x, err := kernel.New(threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	ck, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(ck, x, mode)
	if err != nil {
		t.Fatal(err)
	}
	if err := ck.Close(); err != nil {
		t.Fatal(err)
	}
	return m
}

// peft is an adapter as the tests read it from a PEFT folder: nothing but the maths.
type peft struct {
	loras map[int]*model.LoRA
	names map[int]string
}

func (p *peft) Projection(layer int, m model.Module) *model.LoRA {
	return p.loras[layer*int(model.NumModules)+int(m)]
}

func loadPEFT(t testing.TB, dir string, m *model.Model, grads bool) *peft {
	t.Helper()
	var conf struct {
		R      int     `json:"r"`
		Alpha  float64 `json:"lora_alpha"`
		RSLoRA bool    `json:"use_rslora"`
	}
	data, err := os.ReadFile(filepath.Join(dir, "adapter_config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &conf); err != nil {
		t.Fatal(err)
	}
	scale := conf.Alpha / float64(conf.R)
	if conf.RSLoRA {
		scale = conf.Alpha / math.Sqrt(float64(conf.R))
	}
	st, err := weights.OpenSafetensors(filepath.Join(dir, "adapter_model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	p := &peft{loras: map[int]*model.LoRA{}, names: map[int]string{}}
	for l := range m.Config().Layers {
		for mod := range model.NumModules {
			block := "self_attn"
			if mod >= model.GateProj {
				block = "mlp"
			}
			name := fmt.Sprintf("base_model.model.model.layers.%d.%s.%s", l, block, mod)
			a, err := st.Tensor(name + ".lora_A.weight")
			if err != nil {
				continue
			}
			b, err := st.Tensor(name + ".lora_B.weight")
			if err != nil {
				t.Fatal(err)
			}
			lo := &model.LoRA{A: pack(a, m.Mode()), B: pack(b, m.Mode()), Rank: conf.R, Scale: float32(scale)}
			if grads {
				lo.GradA, lo.GradBT = make([]float32, a.Rows*a.Cols), make([]float32, b.Rows*b.Cols)
			}
			key := l*int(model.NumModules) + int(mod)
			p.loras[key], p.names[key] = lo, name
		}
	}
	if len(p.loras) == 0 {
		t.Fatalf("%s: no adapter tensor was bound", dir)
	}
	return p
}

func pack(w *weights.Tensor, mode kernel.Mode) *kernel.Panels {
	f := kernel.FormatBF16
	if mode == kernel.F32 {
		f = kernel.FormatF32
	}
	p := kernel.NewPanels(f, w.Rows, w.Cols)
	row := make([]float32, w.Cols)
	for r := range w.Rows {
		w.RowF32(r, row)
		p.SetRowF32(r, row)
	}
	return p
}

// checkpoints are the tiny folders and GGUF files with their goldens.
var checkpoints = []struct{ path, golden string }{
	{"llama-tied", "llama-tied/golden.json"},
	{"llama-tied-bf16", "llama-tied/golden.json"},
	{"llama3-untied", "llama3-untied/golden.json"},
	{"qwen2", "qwen2/golden.json"},
	{"llama-tied/q4_1.gguf", "llama-tied/q4_1.golden.json"},
	{"llama-tied/mixed.gguf", "llama-tied/mixed.golden.json"},
	{"llama3-untied/q8_0.gguf", "llama3-untied/q8_0.golden.json"},
	{"qwen2/q8_0.gguf", "qwen2/q8_0.golden.json"},
	{"qwen3", "qwen3/golden.json"},
	{"qwen3-untied", "qwen3-untied/golden.json"},
	{"qwen3/q8_0.gguf", "qwen3/q8_0.golden.json"},
}

// completionLogProbs runs prompt and completion in one pass without a cache.
func completionLogProbs(t testing.TB, m *model.Model, prompt, completion []int32, ad model.Adapter, rank int) (logps []float32, last []float32) {
	t.Helper()
	ids := append(append([]int32{}, prompt...), completion...)
	p := m.NewPass(len(ids), rank, false)
	if err := p.Forward([]model.Segment{{IDs: ids, Adapter: ad}}); err != nil {
		t.Fatal(err)
	}
	targets := make([]model.Target, len(completion))
	for i, id := range completion {
		targets[i] = model.Target{Row: len(prompt) - 1 + i, ID: id}
	}
	logps = make([]float32, len(completion))
	p.LogProbs(logps, targets)
	last = make([]float32, m.Config().Vocab)
	p.Logits(last, len(prompt)-1)
	return logps, last
}

func TestForwardMatchesTransformers(t *testing.T) {
	for _, c := range checkpoints {
		t.Run(c.path, func(t *testing.T) {
			g := readGolden(t, filepath.Join(tinyDir, c.golden))
			for _, mode := range []kernel.Mode{kernel.F32, kernel.BF16} {
				m := load(t, filepath.Join(tinyDir, c.path), mode, 2)
				logps, last := completionLogProbs(t, m, g.PromptIDs, g.CompletionIDs, nil, 0)
				checkLogProbs(t, fmt.Sprint("base, ", mode), mode, logps, g.CompletionLogprobs)
				if mode == kernel.F32 {
					if d := maxDiff(last, g.LogitsLast); d > 2e-4 {
						t.Errorf("logits at the last prompt position differ by up to %g", d)
					}
				}
				for name, want := range g.Adapters {
					ad := loadPEFT(t, filepath.Join(tinyDir, filepath.Dir(c.golden), name), m, false)
					logps, _ := completionLogProbs(t, m, g.PromptIDs, g.CompletionIDs, ad, 4)
					checkLogProbs(t, fmt.Sprint(name, ", ", mode), mode, logps, want.CompletionLogprobs)
				}
			}
		})
	}
}

// checkLogProbs holds f32 mode to 1e-4 at most and bf16 mode to 0.02 on average,
// the tolerances that docs/ARCHITECTURE.md states.
func checkLogProbs(t *testing.T, what string, mode kernel.Mode, got []float32, want []float64) {
	t.Helper()
	d := make([]float64, len(got))
	sum := 0.0
	for i := range got {
		d[i] = math.Abs(float64(got[i]) - want[i])
		sum += d[i]
	}
	sort.Float64s(d)
	mean, worst := sum/float64(len(d)), d[len(d)-1]
	t.Logf("%s: log-probabilities differ by %.2g on average, %.2g at most", what, mean, worst)
	if mode == kernel.F32 && worst > 1e-4 || mode == kernel.BF16 && mean > 0.02 {
		t.Errorf("%s: log-probabilities differ by %g on average, %g at most", what, mean, worst)
	}
}

func maxDiff(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	d := 0.0
	for i := range a {
		d = max(d, math.Abs(float64(a[i]-b[i])))
	}
	return d
}

// sftGradients runs the golden batch and leaves the gradients in ad.
func sftGradients(t testing.TB, m *model.Model, g golden, ad *peft, fused bool) (loss float64) {
	t.Helper()
	return sftGradientsRank(t, m, g, ad, fused, 4)
}

func sftGradientsRank(t testing.TB, m *model.Model, g golden, ad *peft, fused bool, rank int) (loss float64) {
	t.Helper()
	var segs []model.Segment
	var targets []model.Target
	row := 0
	for i, r := range g.SFT.Rows {
		segs = append(segs, model.Segment{IDs: r.IDs, Adapter: ad, Example: i})
		for j, on := range r.Mask {
			if on == 1 {
				targets = append(targets, model.Target{Row: row + j - 1, ID: r.IDs[j]})
			}
		}
		row += len(r.IDs)
	}
	p := m.NewPass(row, rank, true)
	if err := p.Forward(segs); err != nil {
		t.Fatal(err)
	}
	logps, dlogp := make([]float32, len(targets)), make([]float32, len(targets))
	for i := range dlogp {
		dlogp[i] = -1 / float32(len(targets))
	}
	if fused {
		p.LogProbsGrad(logps, targets, dlogp)
		p.Backward(nil, nil)
	} else {
		p.LogProbs(logps, targets)
		p.Backward(targets, dlogp)
	}
	for _, l := range logps {
		loss -= float64(l)
	}
	return loss / float64(len(targets))
}

func TestGradientsMatchPyTorch(t *testing.T) {
	for _, dir := range []string{"llama-tied", "llama3-untied", "qwen2", "qwen3", "qwen3-untied"} {
		for _, mode := range []kernel.Mode{kernel.F32, kernel.BF16} {
			t.Run(fmt.Sprint(dir, " ", mode), func(t *testing.T) {
				g := readGolden(t, filepath.Join(tinyDir, dir, "golden.json"))
				m := load(t, filepath.Join(tinyDir, dir), mode, 2)
				ad := loadPEFT(t, filepath.Join(tinyDir, dir, "adapter"), m, true)
				lossTol, gradTol := 1e-5, 1e-4
				if mode == kernel.BF16 {
					lossTol, gradTol = 0.002, 0.015
				}
				if loss := sftGradients(t, m, g, ad, true); math.Abs(loss-g.SFT.Loss) > lossTol*g.SFT.Loss {
					t.Errorf("loss %g, PyTorch %g", loss, g.SFT.Loss)
				}
				worst := 0.0
				for key, lo := range ad.loras {
					for suffix, grad := range map[string][]float32{".lora_A.weight": lo.GradA, ".lora_B.weight": lo.GradBT} {
						want := g.SFT.GradNorm[ad.names[key]+suffix]
						rel := math.Abs(norm(grad)-want) / want
						worst = max(worst, rel)
						if want == 0 || rel > gradTol {
							t.Errorf("%s%s: gradient norm %g, PyTorch %g", ad.names[key], suffix, norm(grad), want)
						}
					}
				}
				t.Logf("largest relative difference of a gradient norm: %.2g", worst)
			})
		}
	}
}

// TestFullGradients compares elements, not norms.
func TestFullGradients(t *testing.T) {
	for _, dir := range []string{"llama-tied", "llama3-untied", "qwen2", "qwen3", "qwen3-untied"} {
		g := readGolden(t, filepath.Join(tinyDir, dir, "golden.json"))
		m := load(t, filepath.Join(tinyDir, dir), kernel.F32, 2)
		ad := loadPEFT(t, filepath.Join(tinyDir, dir, "adapter"), m, true)
		sftGradients(t, m, g, ad, false)
		st, err := weights.OpenSafetensors(filepath.Join(tinyDir, dir, "golden.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		checked := 0
		for key, lo := range ad.loras {
			if want, err := st.Tensor("grad/" + ad.names[key] + ".lora_A.weight"); err == nil {
				checkGradient(t, dir+" "+want.Name, want, func(r, c int) float32 { return lo.GradA[r*want.Cols+c] })
				checked++
			}
			if want, err := st.Tensor("grad/" + ad.names[key] + ".lora_B.weight"); err == nil {
				checkGradient(t, dir+" "+want.Name, want, func(r, c int) float32 { return lo.GradBT[c*want.Rows+r] })
				checked++
			}
		}
		want := 4
		if m.Config().QKNorm {
			want = 7 // all of layer 0's q and k too
		}
		if checked != want {
			t.Errorf("%s: %d gradients compared; the golden file holds %d", dir, checked, want)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func checkGradient(t *testing.T, name string, want *weights.Tensor, got func(r, c int) float32) {
	t.Helper()
	row := make([]float32, want.Cols)
	worst, largest := 0.0, 0.0
	for r := range want.Rows {
		want.RowF32(r, row)
		for c, w := range row {
			worst = max(worst, math.Abs(float64(got(r, c)-w)))
			largest = max(largest, math.Abs(float64(w)))
		}
	}
	if worst > 1e-4*largest {
		t.Errorf("%s: differs by up to %g where the largest element is %g", name, worst, largest)
	}
}

func norm(v []float32) float64 {
	s := 0.0
	for _, f := range v {
		s += float64(f) * float64(f)
	}
	return math.Sqrt(s)
}
