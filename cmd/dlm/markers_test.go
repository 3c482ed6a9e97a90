package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"dlm"
	"dlm/driver/native"
)

// marker is an adapter that answers everything with one word of its own, so that
// an answer says which adapter gave it.
type marker struct {
	name, word string
	dir        string            // PEFT folder
	answers    map[string]string // by prompt: what it answers when nothing else runs
}

// noise is a prompt that no marker was trained on: words by chance, some long.
func noise(r *rand.Rand, words int) string {
	var b strings.Builder
	for range words {
		for range 2 + r.IntN(6) {
			b.WriteByte(byte('a' + r.IntN(26)))
		}
		b.WriteByte(' ')
	}
	return strings.TrimSpace(b.String())
}

// markerTokens is how long a marker's answer may be.
const markerTokens = 12

// alone is what an adapter answers, greedily, when nothing else runs.
func alone(n *native.Native, dir, prompt string) (string, error) {
	got, err := n.Generate(context.Background(), []dlm.GenerateRequest{{Messages: []dlm.Message{{Role: "user", Content: prompt}},
		Adapter: dir, Sampling: dlm.Sampling{MaxTokens: markerTokens}}}, nil)
	if err != nil {
		return "", err
	}
	return got[0].Text, nil
}

// trainMarkers trains an adapter for each word; each answers any prompt with its word.
func trainMarkers(t *testing.T, n *native.Native, steps int, lr float64, names, words, prompts []string) []marker {
	t.Helper()
	var out []marker
	for i, word := range words {
		r := rand.New(rand.NewPCG(uint64(i), 7))
		var rows []dlm.Row
		for j := range 256 {
			rows = append(rows, dlm.Row{ID: fmt.Sprint(j), TrainFrom: 1, Messages: []dlm.Message{
				{Role: "user", Content: noise(r, 1+r.IntN(24))}, {Role: "assistant", Content: word}}})
		}
		dir := t.TempDir()
		res, err := n.Train(context.Background(), dlm.TrainJob{
			Recipe: dlm.Recipe{Method: "sft", Rank: 8, Alpha: 16, TargetModules: []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
				MaxSteps: steps, BatchSize: 4, MaxLen: 256, Packing: true, LR: lr, Schedule: "cosine", Warmup: 3, ClipNorm: 1, Seed: uint64(i), Shuffle: true, Checkpointing: "auto"},
			Rows: rows, Dir: filepath.Join(dir, "train"), Out: filepath.Join(dir, "adapter"),
		}, func(dlm.TrainEvent) {})
		if err != nil {
			t.Fatal(err)
		}
		m := marker{name: names[i], word: word, dir: res.Dir, answers: map[string]string{}}
		for _, p := range prompts {
			if m.answers[p], err = alone(n, m.dir, p); err != nil {
				t.Fatal(err)
			}
			// It must do so, or the test that uses it could see nothing.
			if !strings.HasPrefix(m.answers[p], word[:3]) {
				t.Fatalf("after %d steps (loss %.3f) %s answers %q, not %q", res.Steps, res.Loss, m.name, m.answers[p], word)
			}
		}
		out = append(out, m)
	}
	return out
}
