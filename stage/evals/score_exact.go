package evals

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"dlm"
)

// newExact makes the scorer that wants the completion to equal the target. Both
// are brought to Unicode form NFC, and white space at the ends does not count.
func newExact(spec ScorerSpec) (Scorer, error) {
	return single{spec.metric("exact"), func(item dlm.Item, completion string) dlm.Score {
		got, want := normalForm(spec, completion), normalForm(spec, item.Target)
		if want == "" {
			return unscored("the target is empty")
		}
		if got == want {
			return right()
		}
		return wrong("got %q, want %q", excerpt(got), excerpt(want))
	}}, nil
}

// normalForm brings text to the form that exact and contains compare.
func normalForm(spec ScorerSpec, s string) string {
	s = strings.TrimSpace(norm.NFC.String(s))
	if spec.IgnoreCase {
		s = strings.ToLower(s)
	}
	if spec.IgnorePunctuation {
		s = strings.Join(words(s), " ")
	}
	return s
}

// words splits text at everything that is neither letter, mark nor digit.
func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
	})
}
