package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dlm/driver/trl"
)

// TestMethodsWithTRL trains a few steps by each method with the real TRL on a
// tiny random base: our rows through dlm's whole path, and the adapter back
// through the checks of the native engine.
func TestMethodsWithTRL(t *testing.T) {
	python := trlPython(t)
	for _, c := range []struct {
		name, method, row string // in the row N stands for a number, H for its half, E for whether it is even
		more              string // lines of dlm.yaml
		check             func(t *testing.T, events []trl.Event)
	}{
		{"sft", "sft", `{"messages":[{"role":"user","content":"Is N even?"},{"role":"assistant","content":"E"}]}`, "", falls},
		{"cpt", "cpt", `{"text":"The half of N is H, and it is E that it is even."}`, "", falls},
		{"dpo", "dpo", `{"prompt":[{"role":"user","content":"half of N?"}],"chosen":[{"role":"assistant","content":"H"}],"rejected":[{"role":"assistant","content":"no idea N"}]}`, "", prefers},
		{"dpo-text-nf4", "dpo", `{"prompt":"half of N:","chosen":" H","rejected":" no idea"}`, "quantize: nf4\n", prefers},
		{"orpo", "orpo", `{"chosen":[{"role":"user","content":"half of N?"},{"role":"assistant","content":"H"}],"rejected":[{"role":"user","content":"half of N?"},{"role":"assistant","content":"no"}]}`, "", falls},
		{"kto", "kto", `{"prompt":[{"role":"user","content":"Is N even?"}],"completion":[{"role":"assistant","content":"yes"}],"label":E}`, "", falls},
		{"grpo", "grpo", `{"prompt":[{"role":"user","content":"Say e, N times"}],"completion":[{"role":"assistant","content":"e"}]}`,
			"eval: {scorers: [{name: regex, metric: has_e, pattern: e}]}\n", rewarded},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := trlProject(t, c.method, c.row, c.more)
			out, stderr, err := trlTrain(t, python, dir)
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, out, stderr)
			}
			var made struct {
				Folder  string
				Metrics map[string]float64
			}
			if err := json.Unmarshal(out, &made); err != nil || made.Folder == "" {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%.0f tokens in %.2f s: %.0f tokens/s", made.Metrics["tokens"], made.Metrics["seconds"], made.Metrics["tokens_per_second"])
			events := eventsBelow(t, dir)
			c.check(t, events)
		})
	}
}

// TestTRLFailures: what goes wrong on the other side is said with its remedy. A
// module path stands for what this machine lacks, a GPU that is full among it.
func TestTRLFailures(t *testing.T) {
	python := trlPython(t)
	row := `{"messages":[{"role":"user","content":"Is N even?"},{"role":"assistant","content":"E"}]}`
	for _, c := range []struct{ stub, more, says string }{
		{"bnb", "quantize: nf4\n", `quantize: nf4 needs bitsandbytes, and it cannot be imported: libcudart.so.13.*dlm trainer install trl`},
		{"oom", "", `at step 2: CUDA out of memory.*try train.micro_batch: \d+, or train.checkpointing: "on", or quantize: nf4, or a data.max_len below \d+`},
		{"cut", "", `the ids that reach the model are not those of the job, first at position 2: job .*, model `},
	} {
		stubs, err := filepath.Abs(filepath.Join("testdata", "stubs", c.stub))
		if err != nil {
			t.Fatal(err)
		}
		dir := trlProject(t, "sft", row, c.more)
		out, stderr, err := trlTrain(t, python, dir, "PYTHONPATH="+stubs)
		if err == nil || !regexp.MustCompile(c.says).MatchString(stderr) {
			t.Errorf("%s: %v\n%s%s", c.stub, err, out, stderr)
		}
		if c.stub != "oom" {
			continue
		}
		// The settings that it named are taken, from the beginning: nothing had been kept yet.
		if out, stderr, err := trlTrain(t, python, dir); err != nil {
			t.Errorf("again with memory: %v\n%s%s", err, out, stderr)
		}
	}
}

// trlPython is the interpreter of the interop checks; without one they are skipped.
func trlPython(t *testing.T) string {
	t.Helper()
	python := os.Getenv("DLM_PYTHON")
	if os.Getenv("DLM_INTEROP") != "1" || python == "" {
		t.Skip("set DLM_INTEROP=1, and DLM_PYTHON to a Python with torch, trl and peft, to run it")
	}
	if out, err := exec.Command(python, "-c", "import torch, trl, peft, datasets").CombinedOutput(); err != nil {
		t.Skipf("%s lacks the libraries: %v %s", python, err, out)
	}
	return python
}

// trlProject makes a project that trains 24 rows on a tiny base.
func trlProject(t *testing.T, method, row, more string) string {
	t.Helper()
	base, err := filepath.Abs("../../engine/testdata/tiny/llama-tied")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var rows strings.Builder
	for i := range 24 {
		line := strings.NewReplacer("N", fmt.Sprint(i), "H", fmt.Sprint(i/2), "E", fmt.Sprint(i%2 == 0)).Replace(row)
		rows.WriteString(line + "\n")
	}
	text := "base: " + base + "\ntrainer: trl\ndata: {train: rows.jsonl, held_out: 4}\n" +
		"train: {method: " + method + ", rank: 4, alpha: 8, lr: 1e-2, warmup: 0, batch_size: 4, max_steps: 12, eval_every: 6, samples: 1}\n" + more
	switch {
	case method == "grpo":
		text = strings.Replace(text, "samples: 1", "samples: 0, rewards: [has_e], group: 6, rollouts: {max_tokens: 6}, micro_batch: 5", 1)
	case more == "": // NF4's numbers are computed in bf16
		text = strings.Replace(text, "samples: 1", "samples: 1, precision: f32", 1)
	}
	for name, s := range map[string]string{"dlm.yaml": text, "rows.jsonl": rows.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// trlTrain trains a project by its method. So small a base gains nothing from threads.
func trlTrain(t *testing.T, python, dir string, vars ...string) (out []byte, stderr string, err error) {
	t.Helper()
	env, err := offline(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("dlm", "-C", dir, "--threads", "1", "train", "--json")
	cmd.Env = append(append(append(os.Environ(), env...), "DLM_TRL_PYTHON="+python), vars...)
	out, err = cmd.Output()
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		stderr = string(e.Stderr)
	}
	return out, stderr, err
}

// eventsBelow reads what the one run below a project's folder told.
func eventsBelow(t *testing.T, dir string) []trl.Event {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, ".dlm/runs/*/train", trl.BundleDir, trl.EventsFile))
	if err != nil || len(found) != 1 {
		t.Fatalf("events: %v, %v", found, err)
	}
	f, err := os.Open(found[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var events []trl.Event
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var e trl.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

func ofKind(events []trl.Event, kind string) (out []trl.Event) {
	for _, e := range events {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

// falls wants a loss that falls, on what is trained and on what is held out.
func falls(t *testing.T, events []trl.Event) {
	steps, evals := ofKind(events, "step"), ofKind(events, "eval")
	if len(steps) != 12 || len(evals) != 2 {
		t.Fatalf("%d steps, %d evaluations", len(steps), len(evals))
	}
	if first, last := steps[0].Loss, steps[11].Loss; last >= first || evals[1].Loss >= first {
		t.Errorf("loss %v at first, %v at last, held out %v", first, last, evals[1].Loss)
	}
}

// prefers wants chosen answers to get ahead of rejected ones.
func prefers(t *testing.T, events []trl.Event) {
	falls(t, events)
	steps := ofKind(events, "step")
	if first, last := steps[0], steps[11]; first.Loss < 0.69 || first.Loss > 0.70 || last.Reward <= first.Reward+0.1 {
		t.Errorf("loss %v, margin %v at first; margin %v at last", first.Loss, first.Reward, last.Reward)
	}
}

// rewarded wants every completion rewarded as dlm's scorer would, and more reward
// in the end than in the beginning.
func rewarded(t *testing.T, events []trl.Event) {
	rollouts, rewards, steps := ofKind(events, "rollout"), ofKind(events, "reward"), ofKind(events, "step")
	if len(rollouts) != 12 || len(rewards) != 12 || len(steps) != 12 {
		t.Fatalf("%d rollouts, %d rewards, %d steps", len(rollouts), len(rewards), len(steps))
	}
	mean := func(i int) float64 {
		n := 0
		for _, r := range rollouts[i].Rollouts {
			if strings.Contains(r.Completion, "e") {
				n++
			}
		}
		return float64(n) / float64(len(rollouts[i].Rollouts))
	}
	early, late := 0.0, 0.0
	for i := range rollouts {
		if len(rollouts[i].Rollouts) != 24 || rollouts[i].N != i+1 {
			t.Errorf("rollout %d: number %d, %d completions", i, rollouts[i].N, len(rollouts[i].Rollouts))
		}
		if m := mean(i); m-rewards[i].Reward > 1e-6 || rewards[i].Reward-m > 1e-6 || m-steps[i].Reward > 1e-5 || steps[i].Reward-m > 1e-5 {
			t.Errorf("step %d: reward %v told, %v of the step, %v of its completions", i, rewards[i].Reward, steps[i].Reward, m)
		}
		if i < 3 {
			early += mean(i) / 3
		}
		if i >= 9 {
			late += mean(i) / 3
		}
	}
	t.Logf("mean reward of the first three steps %.2f, of the last three %.2f", early, late)
	if late <= early {
		t.Errorf("the reward does not rise: %.2f, then %.2f", early, late)
	}
}
