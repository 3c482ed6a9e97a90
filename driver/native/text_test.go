package native

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dlm"
	"dlm/internal/testkit"
	"pgregory.net/rapid"
)

// TestTrainedAndServedTokensAgree: whatever stands in the messages, the ids that
// a row trains are those that scoring its completion sees, after the ids that
// generating would start from.
func TestTrainedAndServedTokensAgree(t *testing.T) {
	for _, base := range []string{"llama-tied", "llama3-untied", "qwen2", "qwen3"} {
		n := open(t, base, Options{})
		content := rapid.StringOf(rapid.OneOf(rapid.Rune(), rapid.SampledFrom([]rune("<|im_start|>end\n\u200b é😀")))).Filter(func(s string) bool { return s != "" })
		rapid.Check(t, func(t *rapid.T) {
			msgs := []dlm.Message{{Role: "user", Content: content.Draw(t, "user")}}
			if rapid.Bool().Draw(t, "second turn") {
				msgs = append(msgs, dlm.Message{Role: "assistant", Content: content.Draw(t, "assistant")}, dlm.Message{Role: "user", Content: "And?"})
			}
			completion := content.Draw(t, "completion")
			row := dlm.Row{Messages: append(slices.Clone(msgs), dlm.Message{Role: "assistant", Content: completion}), TrainFrom: len(msgs)}
			enc, err := n.encode(row)
			if err != nil {
				t.Skip(err) // refused by the template, with a reason
			}
			prompt, err := n.Prompt(msgs, "")
			if err != nil {
				t.Fatal(err)
			}
			ids, from, err := n.Completed(msgs, "", completion, true)
			if err != nil {
				t.Fatal(err)
			}
			if from != len(prompt) || !slices.Equal(ids, enc.IDs[:len(ids)]) || !slices.Equal(ids[:from], prompt) {
				t.Fatalf("prompt %v, trained %v, served %v from %d", prompt, enc.IDs, ids, from)
			}
			for i, m := range enc.Mask {
				if m != (i >= from && i < len(ids)) {
					t.Fatalf("token %d of %d: mask %v; the completion is %d to %d", i, len(enc.IDs), m, from, len(ids))
				}
			}
		})
	}
}

// TestTextAlone: the text side opened alone gives the ids and the identity of the
// whole base.
func TestTextAlone(t *testing.T) {
	for _, base := range bases {
		n := open(t, base, Options{})
		alone, err := OpenText(n.Path(), "")
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(alone.Identity(), n.Identity()) || alone.Context() != n.Config().MaxSeq {
			t.Errorf("%s: alone %+v, with weights %+v", base, alone.Identity(), n.Identity())
		}
		testkit.Codec(t, alone)
	}
	if _, err := OpenText(t.TempDir(), "nf3"); err == nil || !strings.Contains(err.Error(), "nf3") {
		t.Errorf("quantize nf3: error %v", err)
	}
}

// TestPlanProbes: a measured plan has a speed and a duration.
func TestPlanProbes(t *testing.T) {
	n := open(t, "llama-tied", Options{ProbePlan: true})
	row := dlm.Row{ID: "a", Messages: []dlm.Message{{Role: "user", Content: "How?"}, {Role: "assistant", Content: "So."}}}
	p, err := n.Plan(context.Background(), dlm.TrainJob{
		Recipe:  dlm.Recipe{Rank: 2, Alpha: 4, Epochs: 1, BatchSize: 1, LR: 1e-3, Packing: true},
		Rows:    []dlm.Row{row, row},
		Samples: [][]dlm.Message{row.Prompt()},
	})
	if err != nil {
		t.Fatal(err)
	}
	if p.TokensPerSec <= 0 || p.Seconds <= 0 || p.Steps != 2 || p.Bytes["cache"] <= 0 {
		t.Errorf("plan %+v", p)
	}
}
