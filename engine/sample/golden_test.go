package sample

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"
)

// TestDistributionAgainstTransformers compares what Pick draws from with what
// transformers' own logits processors make of the same logits (testdata/make.py).
func TestDistributionAgainstTransformers(t *testing.T) {
	raw, err := os.ReadFile("testdata/warpers.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Settings struct {
				Temperature       float64 `json:"temperature"`
				TopK              int     `json:"top_k"`
				TopP              float64 `json:"top_p"`
				MinP              float64 `json:"min_p"`
				RepetitionPenalty float64 `json:"repetition_penalty"`
			} `json:"settings"`
			Ties    bool      `json:"ties"`
			Logits  []float32 `json:"logits"`
			History []int32   `json:"history"`
			Probs   []float64 `json:"probs"`
		} `json:"cases"`
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) < 20 {
		t.Fatalf("only %d cases", len(file.Cases))
	}
	x := exec(t)
	for i, c := range file.Cases {
		p := Params{Temperature: c.Settings.Temperature, TopK: c.Settings.TopK, TopP: c.Settings.TopP, MinP: c.Settings.MinP, RepetitionPenalty: c.Settings.RepetitionPenalty}
		h := NewHistory(len(c.Logits))
		h.AddPrompt(c.History...)
		got, want := distribution(t, New(x, len(c.Logits)), c.Logits, p, Place{History: h}), c.Probs
		if c.Ties {
			// Which of equal tokens at the border of top-p stays is left open there.
			slices.Sort(got)
			slices.Sort(want)
		}
		for id := range want {
			if math.Abs(got[id]-want[id]) > 1e-6 {
				t.Errorf("case %d, %+v, token %d: probability %v, transformers %v", i, p, id, got[id], want[id])
			}
		}
	}
}

// TestPenaltiesAgainstVLLM compares the logits after bias and penalties with what
// vLLM's own functions make of the same ones (testdata/penalties.py).
func TestPenaltiesAgainstVLLM(t *testing.T) {
	raw, err := os.ReadFile("testdata/penalties.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Repetition float64           `json:"repetition"`
			Frequency  float64           `json:"frequency"`
			Presence   float64           `json:"presence"`
			Bias       map[int32]float64 `json:"bias"`
			Logits     []float32         `json:"logits"`
			Prompt     []int32           `json:"prompt"`
			Output     []int32           `json:"output"`
			Adjusted   []float32         `json:"adjusted"`
		} `json:"cases"`
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) < 10 {
		t.Fatalf("only %d cases", len(file.Cases))
	}
	x := exec(t)
	for i, c := range file.Cases {
		p := Params{RepetitionPenalty: c.Repetition, FrequencyPenalty: c.Frequency, PresencePenalty: c.Presence, Bias: Biases(c.Bias)}
		h := NewHistory(len(c.Logits))
		h.AddPrompt(c.Prompt...)
		h.Add(c.Output...)
		got := New(x, len(c.Logits)).adjust(c.Logits, p, Place{History: h})
		for id, want := range c.Adjusted {
			ulp := 0.0
			if c.Repetition != 0 { // vLLM multiplies by 1 / penalty, transformers divides, as we do
				ulp = 2e-7 * max(math.Abs(float64(want)), 1)
			}
			if math.Abs(float64(got[id]-want)) > ulp {
				t.Errorf("case %d, token %d: logit %v, vLLM %v", i, id, got[id], want)
			}
		}
	}
}
