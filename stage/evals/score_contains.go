package evals

import (
	"strings"

	"dlm"
)

// newContains makes the scorer that wants the target somewhere in the
// completion. With ignore_punctuation whole words are compared.
func newContains(spec ScorerSpec) (Scorer, error) {
	return single{spec.metric("contains"), func(item dlm.Item, completion string) dlm.Score {
		got, want := normalForm(spec, completion), normalForm(spec, item.Target)
		if want == "" {
			return unscored("the target is empty: every completion contains it")
		}
		if spec.IgnorePunctuation {
			got, want = " "+got+" ", " "+want+" "
		}
		if strings.Contains(got, want) {
			return right()
		}
		return wrong("%q is not in the completion", excerpt(want))
	}}, nil
}
