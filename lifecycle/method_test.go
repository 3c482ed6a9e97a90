package lifecycle

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a method needs, and what has no meaning with it.
func TestMethodSettings(t *testing.T) {
	dir := projectDir(t)
	for _, c := range []struct {
		name string
		set  []string
		says string // of the error; empty = accepted
	}{
		{"cpt", []string{"train.method=cpt"}, ""},
		{"native trains no dpo", []string{"train.method=dpo"}, "trainer: trl"},
		{"dpo", []string{"train.method=dpo", "trainer=trl", "train.beta=0.2"}, ""},
		{"beta with sft", []string{"train.beta=0.2"}, "no meaning with method sft"},
		{"group with dpo", []string{"train.method=dpo", "trainer=trl", "train.group=4"}, "no meaning with method dpo"},
		{"no such method", []string{"train.method=ppo"}, "sft, cpt, dpo, kto, orpo, grpo"},
		{"grpo without rewards", []string{"train.method=grpo", "trainer=trl"}, "train.rewards"},
		{"grpo with a reward that is not there", []string{"train.method=grpo", "trainer=trl", "eval.scorers=[{name: exact}]", "train.rewards=[exakt]"}, "did you mean exact?"},
		{"a reward that judges no completion", []string{"train.method=grpo", "trainer=trl", "eval.scorers=[{name: exact}, {name: choice}]", "train.rewards=[choice]"}, "judges a completion"},
		{"grpo", []string{"train.method=grpo", "trainer=trl", "eval.scorers=[{name: exact}]", "train.rewards=[exact]", "train.group=4", "train.rollouts={max_tokens: 32, temperature: 0.8}"}, ""},
		{"a group of one", []string{"train.method=grpo", "trainer=trl", "eval.scorers=[{name: exact}]", "train.rewards=[exact]", "train.group=1"}, "2 or more"},
	} {
		p, err := parseAt(t, dir, minimal, c.set...)
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v; want it to say %q", c.name, err, c.says)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if r := p.Recipe(); r.Method != p.Train.Method || r.Beta != p.Train.Beta || r.Group != p.Train.Group || r.Rollouts.MaxTokens != p.Train.Rollouts.MaxTokens {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
	// A learning rate that was asked for stays.
	p, err := parseAt(t, dir, minimal, "train.method=dpo", "trainer=trl")
	q, err2 := parseAt(t, dir, minimal, "train.method=dpo", "trainer=trl", "train.lr=1e-3")
	if err != nil || err2 != nil || p.Train.LR != methodRates["dpo"] || q.Train.LR != 1e-3 {
		t.Errorf("lr %v and %v: %v, %v", p.Train.LR, q.Train.LR, err, err2)
	}
}

// Preference rows make no golden set; init writes their method.
func TestPreferenceFiles(t *testing.T) {
	pair := `{"prompt":[{"role":"user","content":"Where is it?"}],"chosen":[{"role":"assistant","content":"On its way."}],"rejected":[{"role":"assistant","content":"Who knows."}]}` + "\n"
	label := `{"prompt":"q","completion":"a","label":true}` + "\n" + `{"prompt":"q","completion":"b","label":false}` + "\n"
	for _, c := range []struct{ text, method string }{{pair, "dpo"}, {label, "kto"}, {`{"prompt":"q"}` + "\n", ""}} {
		dir := t.TempDir()
		data := filepath.Join(dir, "rows.jsonl")
		if err := os.WriteFile(data, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := SplitGolden(SplitOptions{Data: data, Out: filepath.Join(dir, "out.jsonl"), Golden: filepath.Join(dir, "golden.jsonl"), Items: 1})
		if err == nil || !strings.Contains(err.Error(), "dlm golden new") {
			t.Errorf("%s: golden split: %v", c.method, err)
		}
		res, err := Init(InitOptions{Dir: filepath.Join(dir, "p"), From: data})
		if c.method == "" {
			if err == nil || !strings.Contains(err.Error(), "train.rewards") {
				t.Errorf("prompts alone: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		p, err := Load(res.Project, nil)
		if err != nil || p.Train.Method != c.method || p.Trainer != TrainerTRL || p.Train.LR != methodRates[c.method] {
			t.Errorf("%s: %+v, %v", c.method, p, err)
		}
	}
}
