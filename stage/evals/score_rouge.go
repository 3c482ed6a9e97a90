package evals

import (
	"strings"

	"dlm"
)

// newRouge makes the ROUGE-L scorer (Lin 2004, "ROUGE: a package for automatic
// evaluation of summaries", section 3): the F-measure with beta = 1 of the
// longest common subsequence of words. Words are runs of letters and digits in
// lower case, without stemming. On ASCII text this equals the Python package
// rouge-score (rougeL, use_stemmer=False), which drops all other letters. The
// score is graded.
func newRouge(spec ScorerSpec) (Scorer, error) {
	return single{spec.metric("rouge_l"), func(item dlm.Item, completion string) dlm.Score {
		want := words(strings.ToLower(item.Target))
		if len(want) == 0 {
			return unscored("no word in the target")
		}
		got := words(strings.ToLower(completion))
		l := commonSubsequence(got, want)
		if l == 0 {
			return wrong("no word in common")
		}
		p, r := float64(l)/float64(len(got)), float64(l)/float64(len(want))
		return dlm.Score{Value: 2 * p * r / (p + r)}
	}}, nil
}

// commonSubsequence returns the length of the longest common subsequence.
func commonSubsequence(a, b []string) int {
	row := make([]int, len(b)+1) // row[j]: of a so far and b[:j]
	for _, x := range a {
		diagonal := 0
		for j, y := range b {
			above := row[j+1]
			if x == y {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(row[j], above)
			}
			diagonal = above
		}
	}
	return row[len(b)]
}
