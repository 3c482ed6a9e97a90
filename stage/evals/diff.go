package evals

import (
	"unicode"

	"dlm"
)

// segment is a piece of a completion seen against its target.
type segment struct {
	Kind string // "same", "extra" (not in the target) or "missing" (only in the target)
	Text string
}

// maxDiffTokens bounds the square of work in diffTokens.
const maxDiffTokens = 1200

// diffText marks what differs between a completion and the target, by words.
// Very long texts, and texts that share little, are not compared: the
// completion comes back as one piece.
func diffText(completion, target string) []segment {
	if completion == target {
		return []segment{{"same", completion}}
	}
	a, b := pieces(completion), pieces(target)
	if len(a) > maxDiffTokens || len(b) > maxDiffTokens {
		return []segment{{"same", completion}}
	}
	segs := diffTokens(a, b)
	if !alike(segs, completion, target) {
		return []segment{{"same", completion}}
	}
	return join(segs)
}

// alike says whether enough letters are shared for the marks to tell anything:
// prose against a record would be a patchwork.
func alike(segs []segment, completion, target string) bool {
	shared := 0
	for _, s := range segs {
		if s.Kind == "same" {
			shared += letters(s.Text)
		}
	}
	return 3*shared >= max(letters(completion), letters(target))
}

// letters counts letters and digits.
func letters(s string) int {
	n := 0
	for _, r := range s {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			n++
		}
	}
	return n
}

// pieces splits text into words, runs of space, and single other characters.
func pieces(s string) []string {
	class := func(r rune) int {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), unicode.IsMark(r):
			return 1
		case unicode.IsSpace(r):
			return 2
		}
		return 3
	}
	var out []string
	start, last := 0, 0
	for i, r := range s {
		c := class(r)
		if i > start && (c != last || c == 3) {
			out = append(out, s[start:i])
			start = i
		}
		last = c
	}
	if start < len(s) {
		out = append(out, s[start:])
	}
	return out
}

// diffTokens walks a longest common subsequence of a and b.
func diffTokens(a, b []string) []segment {
	// common[i][j]: length of the longest common subsequence of a[i:] and b[j:].
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []segment
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, segment{"same", a[i]})
			i, j = i+1, j+1
		case j == len(b) || (i < len(a) && common[i+1][j] >= common[i][j+1]):
			out = append(out, segment{"extra", a[i]})
			i++
		default:
			out = append(out, segment{"missing", b[j]})
			j++
		}
	}
	return out
}

// join puts neighbours of one kind together, and a lone space between two
// replaced words with both, so that a changed phrase reads as one.
func join(segs []segment) []segment {
	var extra, missing string
	var out []segment
	flush := func() {
		if extra != "" {
			out = append(out, segment{"extra", extra})
		}
		if missing != "" {
			out = append(out, segment{"missing", missing})
		}
		extra, missing = "", ""
	}
	for i, s := range segs {
		switch {
		case s.Kind == "extra":
			extra += s.Text
		case s.Kind == "missing":
			missing += s.Text
		case s.Text == " " && extra != "" && missing != "" && i+1 < len(segs) && segs[i+1].Kind != "same":
			extra += s.Text
			missing += s.Text
		default:
			flush()
			if n := len(out); n > 0 && out[n-1].Kind == "same" {
				out[n-1].Text += s.Text
			} else {
				out = append(out, s)
			}
		}
	}
	flush()
	return out
}

// outcome compares two arms' scores of one metric for an item.
func outcome(candidate, baseline dlm.Sample, metric string) string {
	c, b := candidate.Scores[metric], baseline.Scores[metric]
	switch {
	case c.Unscored || b.Unscored:
		return "unscored"
	case c.Value > b.Value:
		return "fixed"
	case c.Value < b.Value:
		return "broken"
	case c.Value >= 1:
		return "both right"
	case c.Value == 0:
		return "both wrong"
	}
	return "equal"
}
