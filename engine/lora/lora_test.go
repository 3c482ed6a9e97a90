package lora

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/model"
	"dlm/engine/weights"
)

const tinyDir = "../testdata/tiny/llama-tied"

func base(t testing.TB, mode kernel.Mode) *model.Model {
	t.Helper()
	return baseAt(t, tinyDir, mode)
}

func baseAt(t testing.TB, dir string, mode kernel.Mode) *model.Model {
	t.Helper()
	x, err := kernel.New(1)
	if err != nil {
		t.Fatal(err)
	}
	ck, err := weights.Open(dir)
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

var id = BaseIdentity{BaseName: "llama-tied", BaseHash: "sha256:aa", TokenizerHash: "bb", TemplateHash: "cc", StopIDs: []int32{2, 0}}

// trained returns an adapter whose values are all different and not zero.
func trained(t testing.TB, m *model.Model, c Config) *Adapter {
	t.Helper()
	a := New(m, c, 11)
	n := float32(1)
	for _, p := range a.Params() {
		for i := range p.Value {
			n++
			p.Value[i] = n / 1024
		}
	}
	a.Repack(m.Exec())
	return a
}

func folder(t testing.TB, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(raw)
	}
	return files
}

func sameValues(t *testing.T, a, b *Adapter) {
	t.Helper()
	pa, pb := a.Params(), b.Params()
	if len(pa) != len(pb) {
		t.Fatalf("%d tensors and %d", len(pa), len(pb))
	}
	for i := range pa {
		if pa[i].Name != pb[i].Name || !slices.Equal(pa[i].Value, pb[i].Value) {
			t.Fatalf("tensor %d: %s and %s differ", i, pa[i].Name, pb[i].Name)
		}
	}
}

func TestNewStartsAsTheBase(t *testing.T) {
	m := base(t, kernel.F32)
	a := New(m, Config{Rank: 16, Alpha: 32}, 1)
	if !a.Zero() {
		t.Error("B is not zero at the start")
	}
	if got, want := len(a.Params()), 2*7*m.Config().Layers; got != want {
		t.Errorf("%d tensors, want %d", got, want)
	}
	for _, p := range a.Params() {
		if p.Transposed {
			continue
		}
		bound := 1 / math.Sqrt(float64(p.Shape[1]))
		sum, squares, largest := 0.0, 0.0, 0.0
		for _, v := range p.Value {
			sum, squares, largest = sum+float64(v), squares+float64(v)*float64(v), max(largest, math.Abs(float64(v)))
		}
		n := float64(len(p.Value))
		if largest > bound || largest < 0.97*bound || math.Abs(sum/n) > 4*bound/math.Sqrt(3*n) || math.Abs(squares/n/(bound*bound/3)-1) > 0.2 {
			t.Errorf("%s: mean %.3g, variance %.3g, largest %.3g; expected 0, %.3g and just below %.3g", p.Name, sum/n, squares/n, largest, bound*bound/3, bound)
		}
	}
	b, c := New(m, Config{Rank: 16, Alpha: 32}, 1), New(m, Config{Rank: 16, Alpha: 32}, 2)
	sameValues(t, a, b)
	if slices.Equal(a.Params()[0].Value, c.Params()[0].Value) {
		t.Error("two seeds give the same values")
	}
	if slices.Equal(a.Params()[0].Value, a.Params()[14].Value) {
		t.Error("two tensors have the same values")
	}
}

func TestPanelsHoldTheMasters(t *testing.T) {
	for _, mode := range []kernel.Mode{kernel.F32, kernel.BF16} {
		m := base(t, mode)
		a := trained(t, m, Config{Rank: 3, Alpha: 3})
		out, in := m.LinearShape(model.KProj)
		lo := a.Projection(1, model.KProj)
		var pa, pb Param
		for i, p := range a.Params() {
			if strings.HasSuffix(p.Name, "layers.1.self_attn.k_proj.lora_A.weight") {
				pa, pb = p, a.Params()[i+1]
			}
		}
		round := func(v float32) float32 {
			if mode == kernel.BF16 {
				return kernel.F32FromBF16(kernel.BF16FromF32(v))
			}
			return v
		}
		row := make([]float32, in)
		lo.A.RowF32(2, row)
		for c, v := range row {
			if v != round(pa.Value[2*in+c]) {
				t.Fatalf("A[2, %d] is %v, the master %v", c, v, pa.Value[2*in+c])
			}
		}
		row = make([]float32, 3)
		lo.B.RowF32(5, row)
		for r, v := range row {
			if v != round(pb.Value[r*out+5]) {
				t.Fatalf("B[5, %d] is %v, the master %v", r, v, pb.Value[r*out+5])
			}
		}
	}
}

func TestDropoutIsSwitched(t *testing.T) {
	m := base(t, kernel.F32)
	a := New(m, Config{Rank: 2, Alpha: 2, Dropout: 0.25}, 1)
	if a.Projection(0, model.QProj).Dropout != 0 {
		t.Error("a new adapter drops")
	}
	a.SetDropout(true, 9)
	if lo := a.Projection(0, model.QProj); lo.Dropout != 0.25 || lo.Seed != 9 {
		t.Errorf("dropout %v, seed %d", lo.Dropout, lo.Seed)
	}
	a.SetDropout(false, 0)
	if a.Projection(0, model.QProj).Dropout != 0 {
		t.Error("switched off, it drops")
	}
}

func TestSaveAndLoad(t *testing.T) {
	for _, c := range []Config{
		{Rank: 4, Alpha: 8}, {Rank: 3, Alpha: 1.5, RSLoRA: true, Dropout: 0.05, Modules: []model.Module{model.VProj, model.QProj}},
	} {
		m := base(t, kernel.BF16)
		a := trained(t, m, c)
		dir := filepath.Join(t.TempDir(), "deep", "adapter")
		if err := a.Save(dir, id); err != nil {
			t.Fatal(err)
		}
		b, err := Load(dir, m, id)
		if err != nil {
			t.Fatal(err)
		}
		sameValues(t, a, b)
		ca, cb := a.Config(), b.Config()
		if ca.Rank != cb.Rank || ca.Alpha != cb.Alpha || ca.Dropout != cb.Dropout || ca.RSLoRA != cb.RSLoRA || !slices.Equal(ca.Modules, cb.Modules) {
			t.Errorf("saved %+v, loaded %+v", ca, cb)
		}
		if lo, lb := a.Projection(0, model.QProj), b.Projection(0, model.QProj); lo.Scale != lb.Scale {
			t.Errorf("scale %v, loaded %v", lo.Scale, lb.Scale)
		}
		if len(c.Modules) > 0 && b.Projection(0, model.KProj) != nil {
			t.Error("a projection that is not adapted has an adapter")
		}
		again := filepath.Join(t.TempDir(), "again")
		if err := b.Save(again, id); err != nil {
			t.Fatal(err)
		}
		first, second := folder(t, dir), folder(t, again)
		if len(first) != 4 {
			t.Errorf("files %v", first)
		}
		for name := range first {
			if first[name] != second[name] {
				t.Errorf("%s of an equal adapter has other bytes", name)
			}
		}
	}
}

func TestSaveReplacesAnAdapterButNothingElse(t *testing.T) {
	m := base(t, kernel.BF16)
	a := trained(t, m, Config{Rank: 2, Alpha: 2})
	dir := t.TempDir()
	out := filepath.Join(dir, "a")
	if err := a.SaveWith(out, id, map[string][]byte{"tokenizer.json": []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	if err := a.Save(out, id); err != nil {
		t.Fatal(err)
	}
	if files := folder(t, out); len(files) != 4 || files["tokenizer.json"] != "" {
		t.Errorf("the folder was not replaced as a whole: %v", files)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left beside the adapter: %v", entries)
	}
	home := filepath.Join(dir, "home")
	if err := os.MkdirAll(home, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "thesis.txt"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := a.Save(home, id); err == nil || !strings.Contains(err.Error(), "no adapter") {
		t.Errorf("error %v", err)
	}
	if folder(t, home)["thesis.txt"] != "x" {
		t.Error("the folder's content is gone")
	}
	for _, name := range []string{ConfigFile, "../x", "a/b", "..", ""} {
		if err := a.SaveWith(filepath.Join(dir, "b"), id, map[string][]byte{name: nil}); err == nil {
			t.Errorf("the further file %q was accepted", name)
		}
	}
}

func TestSaveRefuses(t *testing.T) {
	m := base(t, kernel.BF16)
	a := trained(t, m, Config{Rank: 2, Alpha: 2})
	dir := filepath.Join(t.TempDir(), "a")
	if err := a.Save(dir, BaseIdentity{}); err == nil {
		t.Error("an adapter without a base was saved")
	}
	a.Params()[3].Value[1] = float32(math.NaN())
	if err := a.Save(dir, id); err == nil || !strings.Contains(err.Error(), a.Params()[3].Name) {
		t.Errorf("error %v; want one that names the tensor", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("a refused adapter left a folder")
	}
}

// TestLoadsWhatPEFTWrote reads two folders that PEFT saved (see testdata/tiny).
func TestLoadsWhatPEFTWrote(t *testing.T) {
	m := base(t, kernel.F32)
	a, err := LoadForeign(filepath.Join(tinyDir, "adapter"), m)
	if err != nil {
		t.Fatal(err)
	}
	if c := a.Config(); c.Rank != 4 || c.Alpha != 8 || c.RSLoRA || len(c.Modules) != 7 || a.Zero() {
		t.Errorf("%+v", c)
	}
	b, err := LoadForeign(filepath.Join(tinyDir, "adapter-rslora-qv"), m)
	if err != nil {
		t.Fatal(err)
	}
	if c := b.Config(); c.Rank != 3 || c.Alpha != 6 || !c.RSLoRA || !slices.Equal(c.Modules, []model.Module{model.QProj, model.VProj}) {
		t.Errorf("%+v", c)
	}
	if s := b.Projection(0, model.QProj).Scale; s != float32(6/math.Sqrt(3)) {
		t.Errorf("scale %v", s)
	}
	_, err = Load(filepath.Join(tinyDir, "adapter"), m, id)
	if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "dlm adapters import") {
		t.Errorf("error %v; a folder that names no base must be imported", err)
	}
}

func TestLoadRefusesAnotherBase(t *testing.T) {
	m := base(t, kernel.F32)
	dir := filepath.Join(t.TempDir(), "a")
	if err := trained(t, m, Config{Rank: 2, Alpha: 2}).Save(dir, id); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*BaseIdentity){
		"another base": func(i *BaseIdentity) { i.BaseHash = "sha256:zz" }, "no hash": func(i *BaseIdentity) { i.BaseHash = "" },
		"tokenizer": func(i *BaseIdentity) { i.TokenizerHash = "zz" }, "template": func(i *BaseIdentity) { i.TemplateHash = "zz" },
		"stop tokens": func(i *BaseIdentity) { i.StopIDs = []int32{2} },
	} {
		now := id
		change(&now)
		if _, err := Load(dir, m, now); err == nil || !strings.Contains(err.Error(), "train again") {
			t.Errorf("%s: error %v; want a refusal that says what to do", what, err)
		}
	}
	now := id
	now.StopIDs, now.BaseName = []int32{0, 2}, "renamed"
	if _, err := Load(dir, m, now); err != nil {
		t.Errorf("the order of stop tokens and the name do not matter: %v", err)
	}
}

// TestLoadFailsClosed spoils a good folder in one way after the other.
func TestLoadFailsClosed(t *testing.T) {
	m := base(t, kernel.F32)
	a := trained(t, m, Config{Rank: 2, Alpha: 2})
	tensors := func(change func([]weights.Named) []weights.Named) func(string) error {
		return func(dir string) error {
			var ts []weights.Named
			for _, p := range a.Params() {
				ts = append(ts, p.named())
			}
			return weights.WriteSafetensors(filepath.Join(dir, WeightsFile), change(ts), nil)
		}
	}
	write := func(name, text string) func(string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644) }
	}
	for _, c := range []struct {
		what  string
		spoil func(dir string) error
		want  string
	}{
		{"a tensor less", tensors(func(ts []weights.Named) []weights.Named { return ts[1:] }), "lora_A.weight is missing"},
		{"a tensor more", tensors(func(ts []weights.Named) []weights.Named {
			return append(ts, weights.NamedF32("base_model.model.lm_head.lora_A.weight", []int{2, 2}, make([]float32, 4)))
		}), "lm_head.lora_A.weight (and 0 more) binds to nothing"},
		{"a layer more", tensors(func(ts []weights.Named) []weights.Named {
			ts = append(ts, ts[0])
			ts[len(ts)-1].Name = strings.Replace(ts[0].Name, "layers.0", "layers.2", 1)
			return ts
		}), "layers.2"},
		{"another rank", tensors(func(ts []weights.Named) []weights.Named {
			ts[0] = weights.NamedF32(ts[0].Name, []int{1, 64}, make([]float32, 64))
			return ts
		}), "has shape [1 64]; the base and rank 2 need [2 64]"},
		{"transposed", tensors(func(ts []weights.Named) []weights.Named {
			ts[0].Shape = []int{64, 2}
			return ts
		}), "has shape [64 2]"},
		{"infinity", tensors(func(ts []weights.Named) []weights.Named {
			v := make([]float32, 128)
			v[70] = float32(math.Inf(-1))
			ts[0] = weights.NamedF32(ts[0].Name, []int{2, 64}, v)
			return ts
		}), "holds -Inf at [1, 6]"},
		{"NaN", tensors(func(ts []weights.Named) []weights.Named {
			v := make([]float32, 128)
			v[0] = float32(math.NaN())
			ts[0] = weights.NamedF32(ts[0].Name, []int{2, 64}, v)
			return ts
		}), "holds NaN"},
		{"weights cut short", func(d string) error { return os.Truncate(filepath.Join(d, WeightsFile), 500) }, WeightsFile},
		{"no weights", func(d string) error { return os.Remove(filepath.Join(d, WeightsFile)) }, "has no " + WeightsFile},
		{"a pickle", func(d string) error {
			return os.Rename(filepath.Join(d, WeightsFile), filepath.Join(d, "adapter_model.bin"))
		}, "pickle"},
		{"no configuration", func(d string) error { return os.Remove(filepath.Join(d, ConfigFile)) }, "has no " + ConfigFile},
		{"broken configuration", write(ConfigFile, "{"), "not a JSON object"},
		{"no identity", func(d string) error { return os.Remove(filepath.Join(d, IdentityFile)) }, "import"},
		{"broken identity", write(IdentityFile, "{"), "broken"},
		{"identity of another format", write(IdentityFile, `{"format":2,"base_hash":"sha256:aa"}`), "format 2"},
		{"identity with a new field", write(IdentityFile, `{"format":1,"base_hash":"sha256:aa","x":1}`), "unknown field"},
		{"no folder", os.RemoveAll, "does not exist"},
	} {
		t.Run(c.what, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a")
			if err := a.Save(dir, id); err != nil {
				t.Fatal(err)
			}
			if err := c.spoil(dir); err != nil {
				t.Fatal(err)
			}
			_, err := Load(dir, m, id)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("error %v; want one that names the folder and says %q", err, c.want)
			}
		})
	}
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file, m, id); err == nil || !strings.Contains(err.Error(), "is a file") {
		t.Errorf("error %v", err)
	}
}

const goodConfig = `{"peft_type":"LORA","task_type":"CAUSAL_LM","r":4,"lora_alpha":8,"target_modules":["q_proj"]%s}`

func TestConfigFieldsThatChangeTheMaths(t *testing.T) {
	for _, c := range []struct{ field, want string }{
		{`"use_dora":true`, "use_dora is true: DoRA"}, {`"modules_to_save":["lm_head"]`, "modules_to_save"},
		{`"bias":"all"`, "bias"}, {`"rank_pattern":{"q_proj":0}`, "rank_pattern"}, {`"rank_pattern":{"q_proj":1.5}`, "rank_pattern"},
		{`"rank_pattern":{"q_proj":"8"}`, "rank_pattern"}, {`"rank_pattern":["q_proj"]`, "rank_pattern"}, {`"rank_pattern":{"q_proj":4096}`, "rank_pattern"},
		{`"rank_pattern":{"q_proj":8,"q_proj":4}`, "twice"}, {`"alpha_pattern":{"q_proj":-8}`, "alpha_pattern"}, {`"alpha_pattern":{"(":8}`, "alpha_pattern"},
		{`"alpha_pattern":{"(?=q)q_proj":8}`, "(?="},
		{`"fan_in_fan_out":true`, "fan_in_fan_out"}, {`"layers_to_transform":[0]`, "layers_to_transform"},
		{`"layers_pattern":"layers"`, "layers_pattern"}, {`"lora_bias":true`, "lora_bias"}, {`"use_qalora":true`, "use_qalora"},
		{`"layer_replication":[[0,2]]`, "layer_replication"}, {`"trainable_token_indices":[3]`, "trainable_token_indices"},
		{`"exclude_modules":["q_proj"]`, "exclude_modules"}, {`"megatron_config":{"a":1}`, "megatron_config"},
		{`"from_the_future":0.5`, "from_the_future is 0.5: the field is unknown"},
		{`"init_lora_weights":"pissa"`, "changes the base's weights"}, {`"init_lora_weights":"olora"`, "init_lora_weights"},
		{`"peft_type":"IA3"`, "peft_type"}, {`"task_type":"SEQ_CLS"`, "task_type"},
		{`"r":0`, "rank 0"}, {`"r":"4"`, "r is \"4\""}, {`"r":null`, "r is missing"}, {`"lora_alpha":0`, "alpha 0"},
		{`"lora_dropout":1`, "dropout 1"}, {`"target_modules":["lm_head"]`, "lm_head"}, {`"target_modules":".*_proj"`, "regular expressions"},
		{`"target_modules":[]`, "empty"}, {`"target_modules":null`, "missing"}, {`"target_modules":["mlp.q_proj"]`, "mlp.q_proj"},
	} {
		raw := strings.Replace(goodConfig, "%s", ","+c.field, 1) // a later key wins in encoding/json
		if _, err := parseConfig([]byte(raw)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v; want one that says %q", c.field, err, c.want)
		}
	}
	for _, field := range []string{
		`"use_dora":false`, `"use_dora":null`, `"bias":"none"`, `"rank_pattern":{}`, `"modules_to_save":null`, `"from_the_future":null`,
		`"from_the_future":[]`, `"init_lora_weights":true`, `"init_lora_weights":"gaussian"`, `"inference_mode":true`, `"task_type":null`,
		`"target_modules":["self_attn.q_proj","model.layers.0.mlp.up_proj"]`, `"target_modules":"all-linear"`, `"megatron_core":"megatron.core"`,
	} {
		raw := strings.Replace(goodConfig, "%s", ","+field, 1)
		if strings.Contains(field, "layers.0") { // names one layer only
			if _, err := parseConfig([]byte(raw)); err == nil {
				t.Errorf("%s was accepted as all layers", field)
			}
			continue
		}
		if _, err := parseConfig([]byte(raw)); err != nil {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// TestConfigOfPEFTIsReadBack: what configJSON writes, parseConfig reads.
func TestConfigIsReadBack(t *testing.T) {
	for _, c := range []Config{{Rank: 1, Alpha: 0.5, Modules: AllModules()}, {Rank: 64, Alpha: 16, Dropout: 0.1, RSLoRA: true, Modules: []model.Module{model.DownProj}}} {
		raw, err := configJSON(c, `a "name"`)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseConfig(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got.Rank != c.Rank || got.Alpha != c.Alpha || got.Dropout != c.Dropout || got.RSLoRA != c.RSLoRA || !slices.Equal(got.Modules, c.Modules) {
			t.Errorf("%+v came back as %+v", c, got)
		}
		if !json.Valid(raw) || !bytes.HasSuffix(raw, []byte("}\n")) {
			t.Errorf("%s", raw)
		}
	}
}

func FuzzConfig(f *testing.F) {
	raw, err := os.ReadFile(filepath.Join(tinyDir, "adapter", ConfigFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(strings.Replace(goodConfig, "%s", "", 1)))
	f.Add([]byte(`{"r":1e9,"lora_alpha":-1,"target_modules":[""]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := parseConfig(raw)
		if err == nil && (c.Validate() != nil || len(c.Modules) == 0) {
			t.Errorf("accepted %+v", c)
		}
	})
}

func FuzzIdentity(f *testing.F) {
	f.Add([]byte(`{"format":1,"base_hash":"sha256:aa","stop_ids":[2]}`))
	f.Add([]byte(`{"format":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if id, err := parseIdentity(raw); err == nil && id.BaseHash == "" {
			t.Error("accepted without a base")
		}
	})
}
