package vllm

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dlm"
	"dlm/driver/native"
)

// parityItems is how many golden items are scored.
const parityItems = 50

// TestParity scores the targets of 50 golden items with one adapter in every
// engine and precision, and prints by how much the log-probabilities of their
// tokens differ from those of transformers with PEFT in f32.
func TestParity(t *testing.T) {
	python := need(t, "DLM_PYTHON", "a Python that has transformers and peft")
	f32, bf16 := open(t, "f32"), open(t, "bf16")
	adapter := trained(t, bf16)
	var reqs []dlm.ScoreRequest
	for _, it := range lines[dlm.Item](t, "golden.jsonl", parityItems) {
		reqs = append(reqs, dlm.ScoreRequest{Messages: it.Messages, Completion: it.Target, EndOfTurn: true, Adapter: adapter})
	}
	folder := filepath.Join(t.TempDir(), "hf")
	if err := f32.WriteHF(folder, native.FolderOptions{Dtype: "f32"}); err != nil {
		t.Fatal(err)
	}
	want := peft(t, python, folder, adapter, f32, reqs)
	t.Logf("%d items, %d tokens; difference of a token's log-probability from transformers + PEFT in f32, in nats", len(reqs), len(want))
	t.Logf("%-24s %10s %10s %10s", "", "mean", "p99", "max")
	compare(t, "native f32", f32, reqs, want, 1e-4, 1e-3)
	compare(t, "native bf16", bf16, reqs, want, 0.02, 0.1)
	for _, c := range []struct {
		dtype     string
		mean, p99 float64
	}{{"float32", 1e-4, 1e-3}, {"bfloat16", 0.05, 0.5}} {
		e, err := start(t, f32, c.dtype, nil)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, "vLLM "+e.Version()+" "+c.dtype, e, reqs, want, c.mean, c.p99)
		e.Close() // before the next one: memory
	}
}

// compare prints a row of the table and holds it to its limits.
func compare(t *testing.T, name string, s dlm.Scorer, reqs []dlm.ScoreRequest, want []float64, mean, p99 float64) {
	t.Helper()
	scored, err := s.Score(context.Background(), reqs)
	if err != nil {
		t.Fatal(err)
	}
	var diffs []float64
	sum := 0.0
	for _, r := range scored {
		for _, tok := range r.Tokens {
			d := math.Abs(tok.LogProb - want[len(diffs)])
			diffs, sum = append(diffs, d), sum+d
		}
	}
	slices.Sort(diffs)
	m, p := sum/float64(len(diffs)), diffs[len(diffs)*99/100]
	t.Logf("%-24s %10.2g %10.2g %10.2g", name, m, p, diffs[len(diffs)-1])
	if m > mean || p > p99 {
		t.Errorf("%s: mean %g and 99th percentile %g, expected at most %g and %g", name, m, p, mean, p99)
	}
}

// program scores token ids with transformers and PEFT.
const program = `import json, sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
folder, adapter, items = sys.argv[1:]
m = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), adapter).eval()
out = []
with torch.no_grad():
    for it in json.load(open(items)):
        ids = torch.tensor([it["ids"]])
        lp = m(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
        out += lp[it["from"] - 1:].tolist()
json.dump(out, sys.stdout)
`

// peft returns the log-probability of each completion's token, one request after
// the other.
func peft(t *testing.T, python, folder, adapter string, codec dlm.Codec, reqs []dlm.ScoreRequest) []float64 {
	t.Helper()
	type item struct {
		IDs  []int32 `json:"ids"`
		From int     `json:"from"`
	}
	var items []item
	for _, r := range reqs {
		ids, from, err := codec.Completed(r.Messages, r.Raw, r.Completion, r.EndOfTurn)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, item{ids, from})
	}
	raw, err := json.Marshal(items)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "items.json")
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", program, folder, adapter, path)
	cmd.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "OMP_NUM_THREADS=1") // a busy machine makes threads wait for each other
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("transformers: %v\n%s", err, stderr.String())
	}
	var logps []float64
	if err := json.Unmarshal(out, &logps); err != nil {
		t.Fatal(err)
	}
	return logps
}
