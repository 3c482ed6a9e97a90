package native

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"dlm"
)

func TestOpenRefuses(t *testing.T) {
	t.Setenv("DLM_CACHE", t.TempDir())
	path := filepath.Join(tinyDir, "llama-tied")
	_, err := Open(path, Options{Precision: "int3"})
	wants(t, err, "precision", "int3", "bf16")
	_, err = Open(path, Options{Kernels: "no-such-set"})
	wants(t, err, "no-such-set")
	_, err = Open(filepath.Join(t.TempDir(), "nothing.gguf"), Options{})
	wants(t, err, "nothing.gguf")
}

// TestPulledFileMustBeTheOneThatWasPulled: a GGUF that changed since is refused.
func TestPulledFileMustBeTheOneThatWasPulled(t *testing.T) {
	t.Setenv("DLM_CACHE", t.TempDir())
	raw, err := os.ReadFile(filepath.Join(tinyDir, "llama-tied", "q4_1.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "base.gguf")
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	n, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := dlm.PulledModel{Ref: "tiny", Path: path, Digest: n.Digest()}
	n.Close()
	if n, err = OpenPulled(p, Options{}); err != nil {
		t.Fatal(err)
	}
	n.Close()
	raw[len(raw)-1] ^= 1
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = OpenPulled(p, Options{})
	wants(t, err, "pull again", p.Digest.Hex())
}

// TestKernelsDoNotChangeAnswers: the portable set gives the bits of the best one.
func TestKernelsDoNotChangeAnswers(t *testing.T) {
	reqs := []dlm.ScoreRequest{{Raw: "Hello there, how", Completion: " are you?", EndOfTurn: true}}
	var want []dlm.Scored
	for _, o := range []Options{{}, {Threads: 1}, {Kernels: "portable"}} {
		n := open(t, "llama-tied/q4_1.gguf", o)
		got, err := n.Score(context.Background(), reqs)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%+v (%s): %v, expected %v", o, n.Kernels(), got, want)
		}
	}
}

// TestConcurrentCalls uses one base from several goroutines.
func TestConcurrentCalls(t *testing.T) {
	n := open(t, "llama-tied", Options{})
	msgs := []dlm.Message{{Role: "user", Content: "Where is the van?"}}
	req := dlm.GenerateRequest{Messages: msgs, Sampling: dlm.Sampling{MaxTokens: 5}}
	want, err := n.Generate(context.Background(), []dlm.GenerateRequest{req}, nil)
	if err != nil {
		t.Fatal(err)
	}
	enc, err := n.Encode(dlm.Row{Messages: append(msgs, dlm.Message{Role: "assistant", Content: "There."})}, 0)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			got, err := n.Generate(context.Background(), []dlm.GenerateRequest{req}, nil)
			if err != nil || got[0].Text != want[0].Text {
				t.Errorf("generated %v (%v), expected %q", got, err, want[0].Text)
			}
			e, err := n.Encode(dlm.Row{Messages: append(msgs[:1:1], dlm.Message{Role: "assistant", Content: "There."})}, 0)
			if err != nil || !reflect.DeepEqual(e, enc) {
				t.Errorf("encoded %v (%v), expected %v", e, err, enc)
			}
			if text, err := n.Render(msgs, true); err != nil || !strings.Contains(text, "van") {
				t.Errorf("rendered %q (%v)", text, err)
			}
			if _, err := n.Score(context.Background(), []dlm.ScoreRequest{{Messages: msgs, Completion: "There."}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestScoreAsTrained: the trained and the served log-probability of an answer.
func TestScoreAsTrained(t *testing.T) {
	n := open(t, "qwen2", Options{})
	r := dlm.ScoreRequest{Messages: []dlm.Message{{Role: "user", Content: "Where?"}}, Completion: "In the lot.", EndOfTurn: true, Adapter: bound(t, n, 4, false)}
	served, err := n.Score(context.Background(), []dlm.ScoreRequest{r})
	if err != nil {
		t.Fatal(err)
	}
	trained, err := n.ScoreAsTrained(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if len(trained.Tokens) == 0 || !reflect.DeepEqual(served[0], trained) {
		t.Errorf("served %v, trained %v", served[0], trained)
	}
}
