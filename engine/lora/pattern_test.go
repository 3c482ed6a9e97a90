package lora

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/model"
)

func TestPatternsAreThoseOfPEFT(t *testing.T) {
	c := Config{Rank: 4, Alpha: 8, RankPattern: []Pattern{
		{"q_proj", 2}, {`layers\.1\.mlp\..*`, 7}, {"^model.layers.0.self_attn.v_proj", 5}, {"(gate|up)_proj", 3},
	}, AlphaPattern: []Pattern{{"0.self_attn.(k|v)_proj", 3}, {"down_proj", 12}}}
	sizes, err := c.sizes(2)
	if err != nil {
		t.Fatal(err)
	}
	want := [2][model.NumModules]projectionSize{ // as PEFT's get_pattern_key decides
		{{2, 8}, {4, 3}, {5, 3}, {4, 8}, {3, 8}, {3, 8}, {4, 12}},
		{{2, 8}, {4, 8}, {4, 8}, {4, 8}, {7, 8}, {7, 8}, {7, 12}},
	}
	for l := range want {
		if sizes[l] != want[l] {
			t.Errorf("layer %d: %v, PEFT has %v", l, sizes[l], want[l])
		}
	}
}

// TestPatternsMatchWholeParts: a pattern begins after a dot and ends at the end.
func TestPatternsMatchWholeParts(t *testing.T) {
	const path = "model.layers.10.self_attn.q_proj"
	for match, want := range map[string]bool{
		"q_proj": true, "proj": false, "q_pro": false, "self_attn": false, "self_attn.q_proj": true, "0.self_attn.q_proj": false,
		"10.self_attn.q_proj": true, `layers\.\d+\.self_attn\..*`: true, "model.layers.10.self_attn.q_proj": true, "^q_proj": false,
		`^model\..*`: true, "q_proj$": true, "": false, "k_proj|q_proj": true, "x)|(.*q_proj": true, "(q|k)_proj": true,
	} {
		re, err := Pattern{Match: match}.compile()
		if err != nil {
			t.Errorf("%q: %v", match, err)
		} else if re.MatchString(path) != want {
			t.Errorf("%q matches %s: %v, in PEFT %v", match, path, !want, want)
		}
	}
}

func TestPatternsFailClosed(t *testing.T) {
	m := base(t, kernel.F32)
	for _, c := range []struct {
		patterns []Pattern
		modules  []model.Module
		want     []string
	}{
		{[]Pattern{{"qproj", 8}}, nil, []string{`"qproj" decides nothing`, "model.layers.0.self_attn.q_proj"}},
		{[]Pattern{{"q_proj", 8}, {"layers.0.self_attn.q_proj", 2}}, nil, []string{"layers.0.self_attn.q_proj", "earlier pattern"}},
		{[]Pattern{{"up_proj", 8}}, []model.Module{model.QProj}, []string{"up_proj", "[q_proj]"}},
		{[]Pattern{{"layers.7.*", 8}}, nil, []string{"layers.7", "2 layers"}},
		{[]Pattern{{"(?i)Q_PROJ", 8}}, nil, []string{"(?i"}}, {[]Pattern{{"[[:alpha:]]_proj", 8}}, nil, []string{"[[:"}},
		{[]Pattern{{`(q)\1`, 8}}, nil, []string{"back-references"}}, {[]Pattern{{"q_proj(", 8}}, nil, []string{"not a regular expression"}},
	} {
		for field, conf := range map[string]Config{
			"rank_pattern":  {Rank: 2, Alpha: 2, Modules: c.modules, RankPattern: c.patterns},
			"alpha_pattern": {Rank: 2, Alpha: 2, Modules: c.modules, AlphaPattern: c.patterns},
		} {
			err := conf.ValidateFor(m)
			for _, w := range append(c.want, field) {
				if err == nil || !strings.Contains(err.Error(), w) {
					t.Errorf("%s %v: error %v; want one that says %q", field, c.patterns, err, w)
				}
			}
		}
	}
	if err := (Config{Rank: 2, Alpha: 2, RankPattern: []Pattern{{"q_proj", 2000}}}).Validate(); err == nil {
		t.Error("a rank of 2000 was accepted")
	}
}

// TestPatternsAreReadBack: the folder keeps patterns and their order, and the
// adapter its shapes and scales.
func TestPatternsAreReadBack(t *testing.T) {
	m := base(t, kernel.F32)
	c := Config{Rank: 4, Alpha: 8, RSLoRA: true, RankPattern: []Pattern{{"v_proj", 1}, {`layers\.1\..*`, 6}}, AlphaPattern: []Pattern{{"q_proj", 0.5}}}
	a := trained(t, m, c)
	if a.Rank() != 6 {
		t.Errorf("largest rank %d, expected 6", a.Rank())
	}
	dir := filepath.Join(t.TempDir(), "a")
	id := BaseIdentity{BaseHash: "sha256:0"}
	if err := a.Save(dir, id); err != nil {
		t.Fatal(err)
	}
	b, err := Load(dir, m, id)
	if err != nil {
		t.Fatal(err)
	}
	sameValues(t, a, b)
	if got := b.Config(); !slices.Equal(got.RankPattern, c.RankPattern) || !slices.Equal(got.AlphaPattern, c.AlphaPattern) {
		t.Errorf("patterns came back as %v and %v", got.RankPattern, got.AlphaPattern)
	}
	for l, want := range []float32{float32(0.5 / math.Sqrt(4)), float32(0.5 / math.Sqrt(6))} {
		if lo := b.Projection(l, model.QProj); lo.Scale != want || lo.Rank != 4+2*l {
			t.Errorf("layer %d: rank %d, scale %v; expected %d and %v", l, lo.Rank, lo.Scale, 4+2*l, want)
		}
	}
	if lo := b.Projection(1, model.VProj); lo.Rank != 1 || lo.Scale != 8 {
		t.Errorf("layer 1's v_proj: rank %d, scale %v", lo.Rank, lo.Scale)
	}
	// An adapter with another order of patterns has other shapes: it is refused.
	swapped := b.Config()
	slices.Reverse(swapped.RankPattern)
	raw, err := configJSON(swapped, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ConfigFile), raw, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir, m, id); err == nil || !strings.Contains(err.Error(), "v_proj") {
		t.Errorf("with the patterns in another order: %v", err)
	}
	if card := folder(t, dir)[CardFile]; !strings.Contains(card, "v_proj: 1") || !strings.Contains(card, "q_proj: 0.5") {
		t.Errorf("the card does not name the patterns:\n%s", card)
	}
}

// TestPatternsAgainstPEFT runs an adapter that PEFT made with patterns and rsLoRA:
// log-probabilities, and the gradients of every tensor.
func TestPatternsAgainstPEFT(t *testing.T) {
	const dir = "../testdata/tiny/qwen3"
	raw, err := os.ReadFile(filepath.Join(dir, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		Prompt     []int32 `json:"prompt_ids"`
		Completion []int32 `json:"completion_ids"`
		Patterns   struct {
			LogProbs []float64          `json:"completion_logprobs"`
			Loss     float64            `json:"loss_f64"`
			GradNorm map[string]float64 `json:"grad_norm_f64"`
		} `json:"patterns"`
		SFT struct {
			Rows []struct {
				IDs  []int32 `json:"ids"`
				Mask []int   `json:"mask"`
			} `json:"rows"`
		} `json:"sft"`
	}
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	m := baseAt(t, dir, kernel.F32)
	a, err := LoadForeign(filepath.Join(dir, "adapter-patterns"), m)
	if err != nil {
		t.Fatal(err)
	}
	ids := slices.Concat(g.Prompt, g.Completion)
	p := m.NewPass(len(ids), a.Rank(), false)
	if err := p.Forward([]model.Segment{{IDs: ids, Adapter: a}}); err != nil {
		t.Fatal(err)
	}
	var targets []model.Target
	for i, id := range g.Completion {
		targets = append(targets, model.Target{Row: len(g.Prompt) - 1 + i, ID: id})
	}
	got := make([]float32, len(targets))
	p.LogProbs(got, targets)
	for i, w := range g.Patterns.LogProbs {
		if math.Abs(float64(got[i])-w) > 1e-4 {
			t.Errorf("token %d: log-probability %v, PEFT %v", i, got[i], w)
		}
	}

	a.EnableGrad()
	var segs []model.Segment
	targets = targets[:0]
	row := 0
	for _, r := range g.SFT.Rows {
		segs = append(segs, model.Segment{IDs: r.IDs, Adapter: a})
		for j, on := range r.Mask {
			if on == 1 {
				targets = append(targets, model.Target{Row: row + j - 1, ID: r.IDs[j]})
			}
		}
		row += len(r.IDs)
	}
	logps, dlogp := make([]float32, len(targets)), make([]float32, len(targets))
	for i := range dlogp {
		dlogp[i] = -1 / float32(len(targets))
	}
	p = m.NewPass(row, a.Rank(), true)
	if err := p.Forward(segs); err != nil {
		t.Fatal(err)
	}
	p.LogProbsGrad(logps, targets, dlogp)
	p.Backward(nil, nil)
	loss := 0.0
	for _, l := range logps {
		loss -= float64(l) / float64(len(logps))
	}
	if math.Abs(loss-g.Patterns.Loss) > 1e-5*g.Patterns.Loss {
		t.Errorf("loss %v, PEFT %v", loss, g.Patterns.Loss)
	}
	if len(a.Params()) != len(g.Patterns.GradNorm) {
		t.Errorf("%d tensors, PEFT has %d", len(a.Params()), len(g.Patterns.GradNorm))
	}
	for _, par := range a.Params() {
		sum := 0.0
		for _, v := range par.Grad {
			sum += float64(v) * float64(v)
		}
		if want := g.Patterns.GradNorm[par.Name]; math.Abs(math.Sqrt(sum)-want) > 1e-4*want || want == 0 {
			t.Errorf("%s: gradient norm %v, PEFT %v", par.Name, math.Sqrt(sum), want)
		}
	}
}

func TestScale(t *testing.T) {
	size := projectionSize{16, 32}
	if s := (Config{}).scale(size); s != 2 {
		t.Errorf("alpha 32, rank 16: scale %v", s)
	}
	if s := (Config{RSLoRA: true}).scale(size); s != 8 {
		t.Errorf("alpha 32, rank 16, rsLoRA: scale %v", s)
	}
}
