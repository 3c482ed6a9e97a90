package infer

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"dlm/engine/kernel"
	"dlm/engine/model"
	"dlm/engine/weights"
)

// longGolden is a text as long as the real base's context, and the reference's
// log-probability of each token after the first.
func longGolden(t *testing.T) (ids []int32, logps []float32) {
	t.Helper()
	if os.Getenv("DLM_TEST_LONG") == "" {
		t.Skip("takes a minute and more: set DLM_TEST_LONG=8192")
	}
	st, err := weights.OpenSafetensors("../testdata/goldens/long.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for name, to := range map[string]func([]float32){
		"ids": func(v []float32) {
			for _, id := range v {
				ids = append(ids, int32(id))
			}
		},
		"logprobs": func(v []float32) { logps = v },
	} {
		w, err := st.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		to(w.F32())
	}
	if len(ids) != 8192 || len(logps) != len(ids)-1 {
		t.Fatalf("%d ids, %d log-probabilities", len(ids), len(logps))
	}
	return ids, logps
}

// TestLongContext reads 8192 tokens with the real base. Log-probabilities are
// near the reference's, at the end of the context as at its beginning. As one
// pass and in chunks with a cache the bits are the same, and what is made at
// that depth has the bits of scoring it afterwards.
func TestLongContext(t *testing.T) {
	path := realModel(t)
	ids, want := longGolden(t)
	t.Run("bf16", func(t *testing.T) {
		m := load(t, path, kernel.BF16, 2)
		whole := scoreLong(t, m, Whole, ids, 1)
		nearReference(t, whole, want, 0.02, 0.1)
		if chunks := scoreLong(t, m, Cached, ids, 1); !slices.Equal(whole, chunks) {
			t.Error("chunks with a cache give other bits than one pass")
		}
		at := len(ids) - 32
		out, err := engine(t, m, Options{MaxTokens: 512}).Generate(context.Background(), []Request{{IDs: ids[:at], MaxTokens: 16}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		long := slices.Clone(ids[:at])
		for _, tok := range out[0].Tokens {
			long = append(long, tok.ID)
		}
		again := scoreLong(t, m, Whole, long, at)
		for i, tok := range out[0].Tokens {
			if tok.LogProb != again[i] {
				t.Fatalf("token %d made at depth %d has the log-probability %v, scored %v", i, at, tok.LogProb, again[i])
			}
		}
	})
	t.Run("f32", func(t *testing.T) {
		nearReference(t, scoreLong(t, load(t, path, kernel.F32, 2), Whole, ids, 1), want, 1e-4, 1e-4)
	})
}

// scoreLong scores ids[from:] in one pass, or in chunks of 500 that no key block
// ends with.
func scoreLong(t *testing.T, m *model.Model, route Route, ids []int32, from int) []float32 {
	t.Helper()
	o := Options{MaxTokens: len(ids)}
	if route == Cached {
		o = Options{MaxTokens: 512, PrefillChunk: 500}
	}
	start := time.Now()
	got, err := engine(t, m, o).Score(context.Background(), []ScoreRequest{{IDs: ids, From: from, Route: route}})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d tokens, route %d: %v", len(ids), route, time.Since(start))
	return got[0]
}

// nearReference compares log-probabilities with the reference's: all of them,
// and each quarter of the context with the first, since errors that grow with
// the position would show there.
func nearReference(t *testing.T, got, want []float32, mean, p99 float64) {
	t.Helper()
	compare := func(what string, lo, hi int) (average, high float64) {
		var diffs []float64
		for i := lo; i < hi; i++ {
			d := math.Abs(float64(got[i]) - float64(want[i]))
			diffs, average = append(diffs, d), average+d/float64(hi-lo)
		}
		slices.Sort(diffs)
		high = diffs[len(diffs)*99/100]
		t.Logf("%s: log-probabilities differ by %.2g on average, %.2g at the 99th percentile, %.2g at most", what, average, high, diffs[len(diffs)-1])
		return average, high
	}
	if average, high := compare("whole context", 0, len(want)); !(average <= mean && high <= p99) {
		t.Errorf("beyond the tolerance that docs/ARCHITECTURE.md states (%g on average, %g at the 99th percentile)", mean, p99)
	}
	const quarter = 2048
	first, _ := compare("first quarter", 0, quarter)
	for lo := quarter; lo < len(want); lo += quarter {
		if average, _ := compare(fmt.Sprintf("from token %d", lo), lo, min(lo+quarter, len(want))); average > 1.5*first {
			t.Errorf("from token %d the difference is %g, at the beginning %g: it grows with the position", lo, average, first)
		}
	}
}
