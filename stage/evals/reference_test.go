package evals

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"testing"

	"dlm"
)

// reference holds testdata/reference.json, made by testdata/reference.py with
// the Python packages rouge-score and scikit-learn.
type reference struct {
	Rouge []struct {
		Target, Completion string
		F                  float64
	}
	Inputs        map[string]string
	Features      int
	Accuracy      float64
	Predicted     []string
	TopMargin     []float64 `json:"top_margin"`
	NearestCosine []float64 `json:"nearest_cosine"`
}

func readReference(t *testing.T) reference {
	t.Helper()
	raw, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	var r reference
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRougeAgainstPython(t *testing.T) {
	s, err := New(ScorerSpec{Name: "rouge-l"})
	if err != nil {
		t.Fatal(err)
	}
	r := readReference(t)
	if len(r.Rouge) < 5 {
		t.Fatal("no reference values")
	}
	for _, c := range r.Rouge {
		got := s.Score(dlm.Item{Target: c.Target}, c.Completion)["rouge_l"].Value
		if math.Abs(got-c.F) > 1e-12 {
			t.Errorf("%q against %q: %v, rouge-score says %v", c.Completion, c.Target, got, c.F)
		}
	}
}

// TestLinearAgainstScikit compares features, cosines, margins and predictions
// with scikit-learn's TfidfVectorizer and LinearSVC on the bank-support rows.
func TestLinearAgainstScikit(t *testing.T) {
	r := readReference(t)
	for name, sum := range r.Inputs {
		raw, err := os.ReadFile(project("bank-support", name))
		if err != nil {
			t.Fatal(err)
		}
		if h := sha256.Sum256(raw); hex.EncodeToString(h[:]) != sum {
			t.Fatalf("%s has changed; make testdata/reference.json again with testdata/reference.py", name)
		}
	}
	ix, err := NewIndex(rowsOf(t, project("bank-support", "quick-train.jsonl")))
	if err != nil {
		t.Fatal(err)
	}
	items, err := ReadGolden(project("bank-support", "golden.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if len(ix.vec.idf) != r.Features {
		t.Errorf("%d features, scikit-learn has %d", len(ix.vec.idf), r.Features)
	}
	m, err := trainLinear(ix, "")
	if err != nil {
		t.Fatal(err)
	}
	differ, right := 0, 0
	for i, it := range items {
		var got struct{ Intent, Route string }
		if err := json.Unmarshal([]byte(m.predict(it)), &got); err != nil {
			t.Fatal(err)
		}
		if got.Route == "" {
			t.Fatalf("item %s: no route, although the intent settles it: %s", it.ID, m.predict(it))
		}
		if got.Intent != r.Predicted[i] {
			differ++
		}
		var want struct{ Intent string }
		_ = json.Unmarshal([]byte(it.Target), &want)
		if got.Intent == want.Intent {
			right++
		}
		v := ix.vec.vector(userText(it.Messages))
		top := math.Inf(-1)
		for _, w := range m.weights {
			top = max(top, margin(w, v))
		}
		if math.Abs(top-r.TopMargin[i]) > 0.02 {
			t.Errorf("item %s: top margin %.4f, scikit-learn %.4f", it.ID, top, r.TopMargin[i])
		}
		if got := ix.topCosine(v); math.Abs(got-r.NearestCosine[i]) > 1e-8 {
			t.Errorf("item %s: nearest cosine %.9f, scikit-learn %.9f", it.ID, got, r.NearestCosine[i])
		}
	}
	t.Logf("accuracy %.4f, scikit-learn %.4f; %d of %d predictions differ", float64(right)/float64(len(items)), r.Accuracy, differ, len(items))
	if differ > len(items)/100 {
		t.Errorf("%d of %d predictions differ from scikit-learn", differ, len(items))
	}
}

// topCosine is the likeness of the nearest row.
func (ix *Index) topCosine(q sparse) float64 {
	score := make([]float64, len(ix.rows))
	for i, id := range q.ids {
		for _, p := range ix.postings[id] {
			score[p.row] += q.vals[i] * p.val
		}
	}
	top := 0.0
	for _, s := range score {
		top = max(top, s)
	}
	return top
}
