package peers

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dlm"
	"dlm/driver/native"
	"dlm/internal/testkit"
)

// need returns the value of an environment variable, or skips the test.
func need(t *testing.T, name, what string) string {
	t.Helper()
	v := os.Getenv(name)
	if os.Getenv("DLM_INTEROP") == "" || v == "" {
		t.Skipf("a check against real peers: set DLM_INTEROP=1 and %s (%s)", name, what)
	}
	return v
}

// base loads the base that the peers serve, for its tokenizer and template.
func base(t *testing.T) *native.Native {
	t.Helper()
	n, err := native.Open(need(t, "DLM_TEST_MODEL", "a GGUF of SmolLM2-135M-Instruct"), native.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// loras trains an adapter a seed for a few steps and writes each as a GGUF LoRA.
func loras(t *testing.T, n *native.Native, names ...string) (files []string) {
	t.Helper()
	raw, err := os.ReadFile("../../projects/bank-support/data/quick-train.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var rows []dlm.Row
	for line := range strings.Lines(string(raw)) {
		var r dlm.Row
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if rows = append(rows, r); len(rows) == 80 {
			break
		}
	}
	dir := t.TempDir()
	for i, name := range names {
		out := filepath.Join(dir, name)
		if _, err := n.Train(context.Background(), dlm.TrainJob{
			Rows: rows, Dir: t.TempDir(), Out: out,
			Recipe: dlm.Recipe{Method: "sft", Rank: 8, Alpha: 16, TargetModules: []string{"q_proj", "v_proj", "down_proj"},
				MaxSteps: 4, BatchSize: 4, Packing: true, LR: 2e-3, Schedule: "constant", ClipNorm: 1, Seed: uint64(i), Shuffle: true, MaxLen: 256},
		}, nil); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name+".gguf")
		if err := n.WriteGGUFLoRA(file, out); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// conforms runs all parts of the suite.
func conforms(t *testing.T, g dlm.Generator, o testkit.GeneratorOptions) {
	t.Helper()
	t.Run("generator", func(t *testing.T) { testkit.Generator(t, g, o) })
	t.Run("calls", func(t *testing.T) { testkit.GeneratorCalls(t, g, o) })
	t.Run("fields", func(t *testing.T) { testkit.GeneratorFields(t, g, o) })
}
