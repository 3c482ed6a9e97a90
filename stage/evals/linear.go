package evals

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"dlm"
)

// The linear arm's settings: the usual penalty, and the stopping rule of
// LIBLINEAR.
const (
	linearC       = 1.0
	linearEpsilon = 0.01
	linearPasses  = 200
	linearSeed    = 1
)

// linear is a one-against-the-rest linear SVM on the index's TF-IDF vectors: the
// classifier that a single-label task has to beat.
type linear struct {
	vec     *vectorizer
	labels  []string    // sorted
	answers []string    // by label: the completion to give
	weights [][]float64 // by label: [features + 1], the last is the bias
}

// trainLinear learns label from the indexed rows' prompts. The label is a text
// field of the completions' JSON (field, "intent" when empty); where completions
// are no JSON they are labels themselves, if they repeat.
func trainLinear(ix *Index, field string) (*linear, error) {
	if field == "" {
		field = "intent"
	}
	completions := make([]string, len(ix.rows))
	for i, r := range ix.rows {
		completions[i] = r.Completion()
	}
	labels, err := rowLabels(completions, field)
	if err != nil {
		return nil, err
	}
	m := &linear{vec: ix.vec, labels: slices.Compact(slices.Sorted(slices.Values(labels)))}
	if len(m.labels) < 2 {
		return nil, fmt.Errorf("arm linear: every training row has the label %q; there is nothing to tell apart", m.labels[0])
	}
	m.answers = labelAnswers(m.labels, labels, completions)
	norms := make([]float64, len(ix.vectors))
	for i, v := range ix.vectors {
		norms[i] = 1 // the bias
		for _, x := range v.vals {
			norms[i] += x * x
		}
	}
	for _, label := range m.labels {
		y := make([]float64, len(labels))
		for i, l := range labels {
			y[i] = -1
			if l == label {
				y[i] = 1
			}
		}
		m.weights = append(m.weights, fitSVM(ix.vectors, norms, y, len(ix.vec.idf)))
	}
	return m, nil
}

// fitSVM minimises |w|^2/2 + C sum max(0, 1 - y w.x)^2 by dual coordinate
// descent (Hsieh et al. 2008, "A dual coordinate descent method for large-scale
// linear SVM", algorithm 1 for the L2 loss). The bias is a feature of value 1.
// Rows are visited in a seeded random order; the optimum is unique.
func fitSVM(x []sparse, norms, y []float64, features int) []float64 {
	const diag = 1 / (2 * linearC)
	w := make([]float64, features+1)
	alpha := make([]float64, len(x))
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	rng := rand.New(rand.NewPCG(linearSeed, 0))
	for range linearPasses {
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		low, high := 0.0, 0.0 // extremes of the projected gradient
		for _, i := range order {
			g := y[i]*margin(w, x[i]) - 1 + diag*alpha[i]
			pg := g
			if alpha[i] == 0 && g > 0 {
				pg = 0
			}
			low, high = min(low, pg), max(high, pg)
			if pg == 0 {
				continue
			}
			old := alpha[i]
			alpha[i] = max(old-g/(norms[i]+diag), 0)
			step := (alpha[i] - old) * y[i]
			for j, id := range x[i].ids {
				w[id] += step * x[i].vals[j]
			}
			w[features] += step
		}
		if high-low < linearEpsilon {
			break
		}
	}
	return w
}

// margin is w.x with the bias.
func margin(w []float64, x sparse) float64 {
	sum := w[len(w)-1]
	for j, id := range x.ids {
		sum += w[id] * x.vals[j]
	}
	return sum
}

// predict answers with the completion of the label of the largest margin; the
// first of equals.
func (m *linear) predict(item dlm.Item) string {
	v := m.vec.vector(userText(item.Messages))
	best, at := 0.0, -1
	for i, w := range m.weights {
		if s := margin(w, v); at < 0 || s > best {
			best, at = s, i
		}
	}
	return m.answers[at]
}

// rowLabels finds the label of each completion.
func rowLabels(completions []string, field string) ([]string, error) {
	labels := make([]string, len(completions))
	isJSON := 0
	for i, c := range completions {
		obj, err := parseObject(c, false)
		if err != nil {
			continue
		}
		isJSON++
		label, ok := obj[field].(string)
		if !ok {
			return nil, fmt.Errorf("arm linear: a training row's completion has no text field %q: %s", field, excerpt(c))
		}
		labels[i] = label
	}
	if isJSON == len(completions) {
		return labels, nil
	}
	if isJSON > 0 {
		return nil, fmt.Errorf("arm linear: %d of %d completions are JSON records; expected all or none", isJSON, len(completions))
	}
	distinct := map[string]bool{}
	for i, c := range completions {
		labels[i] = strings.TrimSpace(c)
		distinct[labels[i]] = true
	}
	if 2*len(distinct) > len(completions) {
		return nil, fmt.Errorf("arm linear: %d different completions in %d rows are no labels; this arm is for single-label tasks, leave it out", len(distinct), len(completions))
	}
	return labels, nil
}

// labelAnswers returns the completion to give for each label. A field of the
// record belongs to it when the label settles its value all through the
// training rows (a route does, a customer's name does not).
func labelAnswers(labels, rowLabel, completions []string) []string {
	byLabel := map[string]map[string]json.RawMessage{} // label -> its record so far
	text := map[string]string{}                        // label -> its only completion, "" when there are several
	varies := map[string]bool{}                        // field -> some label has two values of it
	for i, c := range completions {
		l := rowLabel[i]
		var rec map[string]json.RawMessage
		_ = json.Unmarshal([]byte(c), &rec) // nil for plain text, checked by rowLabels
		before, again := byLabel[l]
		if !again {
			byLabel[l], text[l] = rec, c
			continue
		}
		if text[l] != c {
			text[l] = ""
		}
		for f, v := range rec {
			if string(before[f]) != string(v) {
				varies[f] = true
			}
		}
		for f := range before {
			if _, ok := rec[f]; !ok {
				varies[f] = true
			}
		}
	}
	out := make([]string, len(labels))
	for i, l := range labels {
		if byLabel[l] == nil {
			out[i] = l
			continue
		}
		out[i] = settledRecord(byLabel[l], varies, text[l])
	}
	return out
}

// settledRecord writes the fields that do not vary; whole, when none does.
func settledRecord(rec map[string]json.RawMessage, varies map[string]bool, only string) string {
	var parts []string
	for _, f := range sortedKeys(rec) {
		if !varies[f] {
			parts = append(parts, quote(f)+": "+string(rec[f]))
		}
	}
	if len(parts) == len(rec) && only != "" {
		return only
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
