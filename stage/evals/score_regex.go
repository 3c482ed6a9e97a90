package evals

import (
	"fmt"
	"regexp"
	"strings"

	"dlm"
)

// newRegex makes the scorer that wants a regular expression to match. With a
// group in the pattern, what the first group caught must equal the target.
// Without a pattern each item's target is one.
func newRegex(spec ScorerSpec) (Scorer, error) {
	name := spec.metric("regex")
	flags := ""
	if spec.IgnoreCase {
		flags = "(?i)"
	}
	if spec.Pattern == "" {
		return single{name, func(item dlm.Item, completion string) dlm.Score {
			re, err := regexp.Compile(flags + item.Target)
			if err != nil || item.Target == "" {
				return unscored("the target is no usable pattern: %v", err)
			}
			return matchScore(re, completion)
		}}, nil
	}
	re, err := regexp.Compile(flags + spec.Pattern)
	if err != nil {
		return nil, fmt.Errorf("option pattern: %w", err)
	}
	if re.NumSubexp() == 0 {
		return single{name, func(_ dlm.Item, completion string) dlm.Score { return matchScore(re, completion) }}, nil
	}
	return single{name, func(item dlm.Item, completion string) dlm.Score {
		m := re.FindStringSubmatch(completion)
		if m == nil {
			return wrong("no match of %s", re)
		}
		got, want := strings.TrimSpace(m[1]), strings.TrimSpace(item.Target)
		if got == want || (spec.IgnoreCase && strings.EqualFold(got, want)) {
			return right()
		}
		return wrong("caught %q, want %q", excerpt(got), excerpt(want))
	}}, nil
}

func matchScore(re *regexp.Regexp, completion string) dlm.Score {
	if re.MatchString(completion) {
		return right()
	}
	return wrong("no match of %s", re)
}
