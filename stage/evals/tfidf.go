package evals

import (
	"math"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// Features of a text: words, pairs of neighbouring words, and the runs of 3 to
// 5 characters inside each word with a space at both its ends. The two kinds
// weigh the same whatever their number.
const (
	minGram = 3
	maxGram = 5
)

// sparse is a vector by feature, in order of id; sums over it are in that
// order, so they are the same on every run.
type sparse struct {
	ids  []int32
	vals []float64
}

// vectorizer turns texts into TF-IDF vectors of unit length.
type vectorizer struct {
	id  map[string]int32
	idf []float64 // by id: ln((1 + texts) / (1 + texts with it)) + 1
}

// newVectorizer learns features and their document frequencies from texts.
func newVectorizer(texts []string) *vectorizer {
	v := &vectorizer{id: map[string]int32{}}
	var df []float64
	for _, t := range texts {
		seen := map[int32]bool{}
		for _, f := range features(t) {
			id, ok := v.id[f]
			if !ok {
				id = int32(len(df))
				v.id[f] = id
				df = append(df, 0)
			}
			if !seen[id] {
				seen[id] = true
				df[id]++
			}
		}
	}
	v.idf = make([]float64, len(df))
	for i, d := range df {
		v.idf[i] = math.Log((1+float64(len(texts)))/(1+d)) + 1
	}
	return v
}

// vector returns the text's vector: (1 + ln count) times idf, words and
// character runs each brought to length 1/sqrt(2). Features that no text of
// newVectorizer had are dropped.
func (v *vectorizer) vector(text string) sparse {
	count := map[int32]float64{}
	isWord := map[int32]bool{}
	for _, f := range features(text) {
		if id, ok := v.id[f]; ok {
			count[id]++
			isWord[id] = f[0] == 'w'
		}
	}
	s := sparse{ids: make([]int32, 0, len(count))}
	for id := range count {
		s.ids = append(s.ids, id)
	}
	slices.Sort(s.ids)
	s.vals = make([]float64, len(s.ids))
	var word, char float64
	for i, id := range s.ids {
		x := (1 + math.Log(count[id])) * v.idf[id]
		s.vals[i] = x
		if isWord[id] {
			word += x * x
		} else {
			char += x * x
		}
	}
	for i, id := range s.ids {
		sum := char
		if isWord[id] {
			sum = word
		}
		s.vals[i] /= math.Sqrt(2 * sum)
	}
	return s
}

// features lists the features of a text, in order, with repetitions.
func features(text string) []string {
	ws := words(fold(text))
	var out []string
	for i, w := range ws {
		out = append(out, "w"+w)
		if i > 0 {
			out = append(out, "w"+ws[i-1]+" "+w)
		}
		runes := []rune(" " + w + " ")
		for n := minGram; n <= maxGram; n++ {
			for j := 0; j+n <= len(runes); j++ {
				out = append(out, "c"+string(runes[j:j+n]))
			}
		}
	}
	return out
}

// fold brings text to lower case and Unicode form NFKC.
func fold(s string) string { return strings.ToLower(norm.NFKC.String(s)) }

// normalized is the text by which two prompts count as the same: folded words
// with single spaces. Text without any word stays as it is, without spaces at
// its ends.
func normalized(s string) string {
	if ws := words(fold(s)); len(ws) > 0 {
		return strings.Join(ws, " ")
	}
	return strings.TrimSpace(fold(s))
}
