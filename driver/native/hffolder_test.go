package native

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"

	"dlm"
)

var sentence = []dlm.ScoreRequest{{Raw: "Hello there, how", Completion: " are you today?"}}

// TestFolderAnswersAsTheBase: the base written as a folder is the same base to the
// last bit, tokenizer, template and stop tokens included.
func TestFolderAnswersAsTheBase(t *testing.T) {
	for _, base := range bases {
		n := open(t, base, Options{Precision: "f32"})
		dir := filepath.Join(t.TempDir(), "folder")
		for range 2 { // over itself too
			if err := n.WriteHF(dir, FolderOptions{Dtype: "f32"}); err != nil {
				t.Fatal(base, err)
			}
		}
		back, err := Open(dir, Options{Precision: "f32"})
		if err != nil {
			t.Fatal(base, err)
		}
		defer back.Close()
		a, b := n.Identity(), back.Identity()
		if a.TokenizerHash != b.TokenizerHash || a.TemplateHash != b.TemplateHash || len(a.StopIDs) != len(b.StopIDs) {
			t.Errorf("%s: identity %+v, expected %+v", base, b, a)
		}
		if d := largest(t, n, back, "", ""); d != 0 {
			t.Errorf("%s: log-probabilities differ by %g", base, d)
		}
	}
}

// TestMergedFolderAnswersAsTheAdapter: in f32, where base and adapter are not
// rounded apart, merged weights differ by the order of sums alone.
func TestMergedFolderAnswersAsTheAdapter(t *testing.T) {
	for _, base := range bases {
		n := open(t, base, Options{Precision: "f32"})
		adapter := bound(t, n, 5, false)
		dir := filepath.Join(t.TempDir(), "merged")
		if err := n.WriteHF(dir, FolderOptions{Dtype: "f32", Adapter: adapter}); err != nil {
			t.Fatal(base, err)
		}
		back, err := Open(dir, Options{Precision: "f32"})
		if err != nil {
			t.Fatal(base, err)
		}
		defer back.Close()
		if d := largest(t, n, back, adapter, ""); d > 1e-4 {
			t.Errorf("%s: log-probabilities differ by %g", base, d)
		}
		if d := largest(t, n, back, "", ""); d < 1e-3 {
			t.Errorf("%s: merged weights answer as the base", base)
		}
	}
}

func TestMergedFolderOfNF4(t *testing.T) {
	n := open(t, "llama-tied", Options{Precision: "f32", Quantize: "nf4"})
	adapter := bound(t, n, 5, false)
	dir := filepath.Join(t.TempDir(), "merged")
	if err := n.WriteHF(dir, FolderOptions{Dtype: "f32", Adapter: adapter}); err != nil {
		t.Fatal(err)
	}
	back, err := Open(dir, Options{Precision: "f32"})
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if d := largest(t, n, back, adapter, ""); d > 1e-4 {
		t.Errorf("log-probabilities differ by %g: it was not merged into what it was trained beside", d)
	}
}

func TestFolderKeepsOtherFiles(t *testing.T) {
	n := open(t, "qwen2", Options{})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.tex"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	wants(t, n.WriteHF(dir, FolderOptions{}), dir, "other files")
	wants(t, n.WriteHF(filepath.Join(dir, "new"), FolderOptions{Dtype: "int4"}), "int4", "bf16")
}

// largest returns the largest difference of log-probabilities of a sentence.
func largest(t *testing.T, a, b *Native, adapterA, adapterB string) (d float64) {
	t.Helper()
	score := func(n *Native, adapter string) dlm.Scored {
		r := sentence[0]
		r.Adapter = adapter
		s, err := n.Score(context.Background(), []dlm.ScoreRequest{r})
		if err != nil {
			t.Fatal(err)
		}
		return s[0]
	}
	x, y := score(a, adapterA), score(b, adapterB)
	if len(x.Tokens) != len(y.Tokens) {
		t.Fatalf("%d tokens and %d", len(x.Tokens), len(y.Tokens))
	}
	for i := range x.Tokens {
		d = max(d, math.Abs(x.Tokens[i].LogProb-y.Tokens[i].LogProb))
	}
	return d
}
