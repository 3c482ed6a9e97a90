package trl

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dlm"
)

// measured is what testdata/memory/measure.py found.
type measured struct {
	Config json.RawMessage `json:"config"`
	Saved  []struct {
		Precision     string   `json:"precision"`
		Dropout       float64  `json:"dropout"`
		Checkpointing bool     `json:"checkpointing"`
		Targets       []string `json:"targets"`
		Rank          int      `json:"rank"`
		Rows          int64    `json:"rows"`
		Tokens        int64    `json:"tokens"`
		LayerBytes    int64    `json:"layer_bytes"`
	} `json:"saved"`
	NF4 []struct {
		Out   int   `json:"out"`
		In    int   `json:"in"`
		Bytes int64 `json:"bytes"`
	} `json:"nf4"`
	Params []struct {
		Config  json.RawMessage `json:"config"`
		Rank    int             `json:"rank"`
		Base    int64           `json:"base"`
		Adapter int64           `json:"adapter"`
	} `json:"params"`
}

func readMeasured(t *testing.T) (m measured) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "memory", "measured.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func shapeOf(t *testing.T, config []byte) Shape {
	t.Helper()
	s, err := ParseShape(config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestKeptBytes: what the plan says that a layer keeps is what autograd keeps, to
// the byte, besides the bf16 copy of the adapter, which the plan counts elsewhere.
func TestKeptBytes(t *testing.T) {
	d := readMeasured(t)
	s := shapeOf(t, d.Config)
	for _, c := range d.Saved {
		m := Memory{Shape: s, Device: Device{Name: "cpu"}, Recipe: dlm.Recipe{Rank: c.Rank, TargetModules: c.Targets, Dropout: c.Dropout, Precision: c.Precision}}
		want := c.LayerBytes
		var got int64
		if c.Checkpointing {
			got = c.Rows * c.Tokens * int64(s.Hidden) * m.width()
		} else {
			got = c.Rows*c.Tokens*m.kept() + m.mask(c.Rows, c.Tokens)
			if c.Precision == "bf16" {
				want -= 2 * m.layerTrained(0)
			}
		}
		if got != want {
			t.Errorf("%+v: planned %d bytes a layer, want %d", c, got, want)
		}
	}
}

func TestNF4Bytes(t *testing.T) {
	for _, c := range readMeasured(t).NF4 {
		if got := nf4Bytes(size{in: c.In, out: c.Out}); got != c.Bytes {
			t.Errorf("%d x %d: planned %d bytes, bitsandbytes takes %d", c.Out, c.In, got, c.Bytes)
		}
	}
}

// TestParameters: Qwen2.5-7B and Llama-3.1-8B, counted by transformers and PEFT.
func TestParameters(t *testing.T) {
	for _, c := range readMeasured(t).Params {
		s := shapeOf(t, c.Config)
		if s.Parameters() != c.Base {
			t.Errorf("%s: %d parameters, want %d", s.ModelType, s.Parameters(), c.Base)
		}
		m := Memory{Shape: s, Recipe: dlm.Recipe{Rank: c.Rank, TargetModules: projections}}
		if m.Trained() != c.Adapter {
			t.Errorf("%s: an adapter of rank %d has %d parameters, want %d", s.ModelType, c.Rank, m.Trained(), c.Adapter)
		}
	}
}

func TestRankPattern(t *testing.T) {
	s := shapeOf(t, readMeasured(t).Config)
	m := Memory{Shape: s, Recipe: dlm.Recipe{Rank: 8, TargetModules: []string{"q_proj", "down_proj"}}}
	m.Shape.Layers = 3
	plain := m.Trained()
	m.Recipe.RankPattern = []dlm.Pattern{{Match: `layers\.1\..*q_proj`, Value: 4}}
	if got := plain - m.Trained(); got != 4*(256+256) {
		t.Errorf("half the rank on one projection saves %d parameters, want %d", got, 4*512)
	}
}

func llama8B(t *testing.T) Memory {
	t.Helper()
	return Memory{
		Shape: shapeOf(t, readMeasured(t).Params[1].Config), Quantize: "nf4", Tokens: 1024,
		Recipe: dlm.Recipe{Method: "sft", Rank: 16, TargetModules: projections, BatchSize: 16, Precision: "bf16", Checkpointing: "auto"},
	}
}

// TestChoose: what the recipe leaves open is settled by the memory there is.
func TestChoose(t *testing.T) {
	const g = 1 << 30
	for _, c := range []struct {
		bytes int64
		micro int
		again string
	}{
		{0, 4, "on"}, // not known: what needs little
		{80 * g, 8, "off"},
		{24 * g, 8, "on"},
		{12 * g, 8, "on"},
	} {
		m := llama8B(t)
		m.Device = Device{Name: "cuda: a GPU", Bytes: c.bytes}
		got, err := m.Choose()
		if err != nil {
			t.Errorf("%d GiB: %v", c.bytes/g, err)
			continue
		}
		if got.Recipe.Checkpointing != c.again || got.Recipe.MicroBatch > 8 || 16%got.Recipe.MicroBatch != 0 || !got.Fits() {
			t.Errorf("%d GiB: micro batch %d, checkpointing %s, peak %s", c.bytes/g, got.Recipe.MicroBatch, got.Recipe.Checkpointing, gib(got.Peak()))
		}
		t.Logf("%d GiB: micro batch %d, checkpointing %s, peak %s, %v", c.bytes/g, got.Recipe.MicroBatch, got.Recipe.Checkpointing, gib(got.Peak()), got.Bytes())
	}
}

// TestChooseKTO: no pass of one row is planned for kto, which makes none.
func TestChooseKTO(t *testing.T) {
	m := llama8B(t)
	m.Recipe.Method = "kto"
	for _, batch := range []int{1, 3, 16} {
		for _, bytes := range []int64{0, 8 << 30, 80 << 30} {
			m.Recipe.BatchSize, m.Device = batch, Device{Name: "cuda: a GPU", Bytes: bytes}
			for _, c := range m.choices() {
				if c.Recipe.MicroBatch < 2 {
					t.Errorf("steps of %d rows: passes of %d", batch, c.Recipe.MicroBatch)
				}
			}
		}
	}
	m.Recipe.MicroBatch = 2
	if savings[0].apply(&m) {
		t.Errorf("%s is proposed for kto", savings[0].text(m))
	}
}

// TestNoFit: a refusal names settings that would fit, and they do.
func TestNoFit(t *testing.T) {
	const g = 1 << 30
	m := llama8B(t)
	m.Quantize, m.Device = "none", Device{Name: "cuda: a GPU", Bytes: 16 * g}
	_, err := m.Choose()
	var no *NoFit
	if !errors.As(err, &no) || len(no.Ways) == 0 {
		t.Fatalf("8B in bf16 on 16 GiB: %v", err)
	}
	for _, s := range []string{"quantize: nf4", "16.0 GiB", "where: ssh"} {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("does not name %q: %v", s, err)
		}
	}
	m.Device.Bytes = 4 * g
	if _, err = m.Choose(); !errors.As(err, &no) || len(no.Ways) != 0 || !strings.Contains(err.Error(), "smaller base") {
		t.Errorf("8B on 4 GiB: %v", err)
	}
	m.Quantize, m.Device.Bytes, m.Tokens = "nf4", 8*g, 8192
	if _, err = m.Choose(); !errors.As(err, &no) || len(no.Ways) == 0 || !strings.Contains(err.Error(), "data.max_len") {
		t.Errorf("8192 tokens on 8 GiB: %v", err)
	}
}

// TestPeakGrows: no setting that costs memory makes a plan smaller.
func TestPeakGrows(t *testing.T) {
	for name, grow := range map[string]func(m *Memory){
		"rank": func(m *Memory) { m.Recipe.Rank *= 2 }, "tokens": func(m *Memory) { m.Tokens *= 2 },
		"rows": func(m *Memory) { m.Recipe.MicroBatch *= 2 }, "no checkpointing": func(m *Memory) { m.Recipe.Checkpointing = "off" },
		"f32": func(m *Memory) { m.Recipe.Precision = "f32" }, "16 bits": func(m *Memory) { m.Quantize = "none" },
		"dropout": func(m *Memory) { m.Recipe.Dropout = 0.1 }, "dpo": func(m *Memory) { m.Recipe.Method = "dpo" },
		"orpo": func(m *Memory) { m.Recipe.Method = "orpo" }, "several": func(m *Memory) { m.Processes = 2 },
		"grpo": func(m *Memory) {
			m.Recipe.Method, m.Recipe.Group, m.Recipe.Rollouts.MaxTokens = "grpo", 8, 256
		},
	} {
		a := llama8B(t)
		a.Recipe.MicroBatch, a.Recipe.Checkpointing = 2, "on"
		b := a
		grow(&b)
		if b.Peak() <= a.Peak() {
			t.Errorf("%s: %s is not more than %s", name, gib(b.Peak()), gib(a.Peak()))
		}
	}
}

func TestParseShapeErrors(t *testing.T) {
	for src, says := range map[string]string{
		`x`:                                     "not a config.json",
		`{}`:                                    "hidden_size is 0",
		`{"hidden_size": 64, "num_experts": 8}`: "mixture of 8 experts",
		`{"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 8, "vocab_size": 9}`: "num_key_value_heads 8 of 4",
	} {
		if _, err := ParseShape([]byte(src)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", src, err, says)
		}
	}
}

func FuzzParseShape(f *testing.F) {
	f.Add([]byte(`{"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 9, "attention_bias": true}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		s, err := ParseShape(src)
		if err != nil {
			return
		}
		m := Memory{Shape: s, Quantize: "nf4", Tokens: 64, Recipe: dlm.Recipe{Rank: 8, TargetModules: projections, MicroBatch: 1}}
		if m.Shape.Layers < 1000 && m.Shape.Hidden < 1<<15 && m.Shape.Inner < 1<<15 && m.Shape.Vocab < 1<<18 && m.Shape.Heads < 256 && m.Shape.HeadDim < 512 && m.Peak() <= 0 {
			t.Errorf("%+v: peak %d", s, m.Peak())
		}
	})
}

// TestKnownShapes: the profiles' bases are those that transformers counted.
func TestKnownShapes(t *testing.T) {
	for i, ref := range []string{"hf:Qwen/Qwen2.5-7B-Instruct", "hf:meta-llama/Llama-3.1-8B@main"} {
		got, ok := KnownShape(ref)
		if want := shapeOf(t, readMeasured(t).Params[i].Config); !ok || got != want {
			t.Errorf("%s: %+v, %v; want %+v", ref, got, ok, want)
		}
	}
	if _, ok := KnownShape("smollm2-135m-instruct"); ok {
		t.Error("a base without a profile is known")
	}
}

// TestNoGPU: a large base on a CPU is refused with what a GPU would need; a small
// one trains there.
func TestNoGPU(t *testing.T) {
	m := llama8B(t)
	m.Device = Device{Name: "cpu", Bytes: 1 << 40}
	_, err := m.Choose()
	var no *NoFit
	if !errors.As(err, &no) || !no.NoGPU || no.Need < 5<<30 || !strings.Contains(err.Error(), "where: ssh") {
		t.Errorf("8B on a CPU: %v", err)
	}
	m.Shape = shapeOf(t, readMeasured(t).Config)
	if _, err := m.Choose(); err != nil {
		t.Errorf("a small base on a CPU: %v", err)
	}
}

// TestAbout: the seed recipe on Qwen2.5-7B needs a small card, and says of what.
func TestAbout(t *testing.T) {
	s, _ := KnownShape("hf:Qwen/Qwen2.5-7B-Instruct")
	m, err := Memory{Shape: s, Quantize: "nf4", Tokens: 512, Recipe: dlm.Recipe{Method: "sft", Rank: 16, TargetModules: projections, BatchSize: 16, Precision: "bf16"}}.Choose()
	if err != nil || m.Card() != 12 {
		t.Errorf("card %d, %v", m.Card(), err)
	}
	for _, part := range []string{"weights 5.2 GiB", "optimiser 308 MiB", "rows of 512 tokens", "a GPU of 12 GB"} {
		if !strings.Contains(m.About(), part) {
			t.Errorf("%q is not in %s", part, m.About())
		}
	}
}
