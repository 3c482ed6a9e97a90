package vllm

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dlm"
	"dlm/driver/native"
)

const data = "../../projects/bank-support/data"

// need returns the value of an environment variable, or skips the test.
func need(t *testing.T, name, what string) string {
	t.Helper()
	v := os.Getenv(name)
	if os.Getenv("DLM_INTEROP") == "" || v == "" {
		t.Skipf("a check against real peers: set DLM_INTEROP=1 and %s (%s)", name, what)
	}
	return v
}

// open loads the base in one precision.
func open(t *testing.T, precision string) *native.Native {
	t.Helper()
	n, err := native.Open(need(t, "DLM_TEST_MODEL", "a GGUF of SmolLM2-135M-Instruct"), native.Options{Precision: precision})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// lines reads the first n rows of a JSONL file of the project.
func lines[T any](t *testing.T, file string, n int) []T {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(data, file))
	if err != nil {
		t.Fatal(err)
	}
	var out []T
	for line := range strings.Lines(string(raw)) {
		var v T
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		if out = append(out, v); len(out) == n {
			break
		}
	}
	return out
}

// train makes an adapter of some steps; DLM_ADAPTER names one that is there.
func train(t *testing.T, n *native.Native, seed uint64, steps int) string {
	t.Helper()
	var rows []dlm.Row
	for _, r := range lines[struct {
		ID       string
		Messages []dlm.Message
	}](t, "quick-train.jsonl", 160) {
		rows = append(rows, dlm.Row{ID: r.ID, Messages: r.Messages})
	}
	out := filepath.Join(t.TempDir(), "adapter")
	_, err := n.Train(context.Background(), dlm.TrainJob{
		Rows: rows, Dir: t.TempDir(), Out: out,
		Recipe: dlm.Recipe{Method: "sft", Rank: 8, Alpha: 16, TargetModules: []string{"q_proj", "v_proj", "o_proj", "up_proj", "down_proj"},
			MaxSteps: steps, BatchSize: 4, Packing: true, SharePrefix: true, LR: 2e-3, Schedule: "constant", ClipNorm: 1, Seed: seed, Shuffle: true, MaxLen: 256},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// trained is the adapter that DLM_ADAPTER names, bound to this base, or a new one.
func trained(t *testing.T, n *native.Native) string {
	t.Helper()
	if dir := os.Getenv("DLM_ADAPTER"); dir != "" {
		return dir
	}
	return train(t, n, 1, 12)
}

// planted copies an adapter and makes all its B zero: it still says that it is
// the adapter, and answers as the base.
func planted(t *testing.T, from string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "planted")
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "adapter_model.safetensors")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(raw)
	var header map[string]struct {
		Offsets []int `json:"data_offsets"`
	}
	if err := json.Unmarshal(raw[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	zeroed := 0
	for name, tensor := range header {
		if strings.Contains(name, "lora_B") {
			clear(raw[8+int(n)+tensor.Offsets[0] : 8+int(n)+tensor.Offsets[1]])
			zeroed++
		}
	}
	if zeroed == 0 {
		t.Fatal("the adapter has no B")
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}
