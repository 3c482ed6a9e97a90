package evals

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"dlm"
)

// number matches one number: groups of three digits with a separator, or plain
// digits; then decimals and an exponent. The separators are comma, apostrophe,
// underscore, no-break and narrow no-break space.
var number = regexp.MustCompile(`(?:\d{1,3}(?:[,'’_\x{00a0}\x{202f}]\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?|\.\d+`)

// newNumeric makes the scorer that compares the last number of the completion
// with the target's. Thousands separators, currency signs and units do not
// count ("$1,200.00" is 1200, "12 %" is 12, not 0.12). Equal means within
// tolerance, or within relative_tolerance of the target's size, whichever is
// wider.
func newNumeric(spec ScorerSpec) (Scorer, error) {
	if spec.Tolerance < 0 || spec.RelativeTolerance < 0 {
		return nil, fmt.Errorf("tolerances must not be negative")
	}
	return single{spec.metric("numeric"), func(item dlm.Item, completion string) dlm.Score {
		want, ok := lastNumber(item.Target, spec.DecimalComma)
		if !ok {
			return unscored("no number in the target %q", excerpt(item.Target))
		}
		got, ok := lastNumber(completion, spec.DecimalComma)
		if !ok {
			return wrong("no number in the completion, want %v", want)
		}
		allowed := math.Max(spec.Tolerance, spec.RelativeTolerance*math.Abs(want))
		// The last bit of a decimal is never held against anybody.
		allowed = math.Max(allowed, 1e-12*math.Abs(want))
		if diff := math.Abs(got - want); diff > allowed {
			return wrong("got %v, want %v (differs by %.4g, allowed %.4g)", got, want, diff, allowed)
		}
		return right()
	}}, nil
}

// lastNumber finds the last number in text.
func lastNumber(text string, decimalComma bool) (float64, bool) {
	if decimalComma {
		text = swapMarks.Replace(text)
	}
	all := number.FindAllStringIndex(text, -1)
	for i := len(all) - 1; i >= 0; i-- {
		if v, ok := numberAt(text, all[i]); ok {
			return v, true
		}
	}
	return 0, false
}

// swapMarks exchanges the roles of point and comma.
var swapMarks = strings.NewReplacer(",", ".", ".", ",")

// numberAt reads the number at text[at[0]:at[1]] with the sign before it.
// Digits inside a word ("A4", "x86") are no number.
func numberAt(text string, at []int) (float64, bool) {
	digits := strings.NewReplacer(",", "", "'", "", "’", "", "_", "", "\u00a0", "", "\u202f", "").Replace(text[at[0]:at[1]])
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil || math.IsInf(v, 0) {
		return 0, false
	}
	before, size := utf8.DecodeLastRuneInString(text[:at[0]])
	if unicode.IsLetter(before) {
		return 0, false
	}
	if unicode.Is(unicode.Sc, before) || before == ' ' { // "-$5", "- 5"
		if prev, w := utf8.DecodeLastRuneInString(text[:at[0]-size]); prev == '-' || prev == '−' {
			before, size = prev, size+w
		}
	}
	if before == '-' || before == '−' {
		// A sign, unless it joins: "2024-05", "A-4".
		prev, _ := utf8.DecodeLastRuneInString(text[:at[0]-size])
		if !unicode.IsLetter(prev) && !unicode.IsDigit(prev) {
			return -v, true
		}
	}
	return v, true
}
