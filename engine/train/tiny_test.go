package train

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/lora"
	"dlm/engine/model"
	"dlm/engine/weights"
)

// tinyDir holds randomly initialised checkpoints and their goldens from PyTorch.
const tinyDir = "../testdata/tiny"

var tinyNames = []string{"llama-tied", "llama3-untied", "qwen2", "qwen3", "qwen3-untied"}

// loadBase opens a checkpoint for as long as the test runs.
func loadBase(t testing.TB, path string, mode kernel.Mode, threads int) *model.Model {
	t.Helper()
	x, err := kernel.New(threads)
	if err != nil {
		t.Fatal(err)
	}
	ck, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(ck, x, mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close(); ck.Close() })
	return m
}

func tiny(t testing.TB, name string, mode kernel.Mode, threads int) *model.Model {
	return loadBase(t, filepath.Join(tinyDir, name), mode, threads)
}

// sftGolden is what PyTorch and PEFT computed on a tiny checkpoint.
type sftGolden struct {
	SFT struct {
		Rows []struct {
			IDs  []int32 `json:"ids"`
			Mask []int   `json:"mask"`
		} `json:"rows"`
		LossTokens  int                `json:"loss_tokens"`
		Loss        float64            `json:"loss"`
		LossF64     float64            `json:"loss_f64"`
		GradNormF64 map[string]float64 `json:"grad_norm_f64"`
		AdamW       struct {
			LR         float64            `json:"lr"`
			Decay      float64            `json:"weight_decay"`
			Clip       float64            `json:"clip_norm"`
			Losses     []float64          `json:"losses"`
			LossAfter  float64            `json:"loss_after"`
			Norms      []float64          `json:"grad_norms_before_clip"`
			ValueNorms map[string]float64 `json:"value_norm_after"`
		} `json:"adamw"`
	} `json:"sft"`
}

func readSFT(t testing.TB, name string) (sftGolden, []Example) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(tinyDir, name, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var g sftGolden
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	var data []Example
	for i, r := range g.SFT.Rows {
		e := Example{ID: "golden-" + string(rune('a'+i)), IDs: r.IDs}
		for _, m := range r.Mask {
			e.Mask = append(e.Mask, m == 1)
		}
		data = append(data, e)
	}
	return g, data
}

// synthetic makes n examples of several lengths over a small vocabulary: a short
// prompt and a completion that repeats it, so that there is something to learn.
func synthetic(n, vocab int) []Example {
	var data []Example
	for i := range n {
		e := Example{ID: "syn-" + string(rune('a'+i%26)) + string(rune('a'+i/26))}
		length := 3 + int(mix(uint64(i))%29)
		for t := range length {
			id := int32(mix(uint64(i)<<20^uint64(t)) % uint64(vocab))
			if t > length/2 {
				id = e.IDs[t-length/2]
			}
			e.IDs = append(e.IDs, id)
			e.Mask = append(e.Mask, t > length/2 || t == length-1)
		}
		data = append(data, e)
	}
	return data
}

func loadAdapter(t testing.TB, m *model.Model, dir string) *lora.Adapter {
	t.Helper()
	a, err := lora.LoadForeign(dir, m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var modes = map[string]kernel.Mode{"f32": kernel.F32, "bf16": kernel.BF16}
