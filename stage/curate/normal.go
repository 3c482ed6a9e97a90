package curate

import (
	"strings"
	"unicode"

	"dlm"

	"golang.org/x/text/unicode/norm"
)

// Normalise maps texts that a person would call the same question to one form:
// compatibility forms and case folded, apostrophes dropped, other punctuation
// and white space to single spaces. Punctuation that touches a digit stays, so
// that 3-4 and 3.4 and 34 differ, and so do symbols such as + and $.
func Normalise(s string) string {
	rs := []rune(strings.ToLower(norm.NFKC.String(s)))
	var b strings.Builder
	b.Grow(len(s))
	space := false
	digit := func(i int) bool { return i >= 0 && i < len(rs) && unicode.IsDigit(rs[i]) }
	for i, r := range rs {
		switch {
		case r == '\'' || r == '\u2019' || r == '\u200b' || r == '\ufeff':
			continue
		case unicode.IsLetter(r), unicode.IsNumber(r), unicode.IsMark(r), unicode.IsSymbol(r),
			// A sentence may end after a digit; a sign or a decimal point stands before one.
			unicode.IsPunct(r) && (digit(i+1) || digit(i-1) && !strings.ContainsRune(".,;:!?)\"", r)):
			if space && b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteRune(r)
			space = false
		default:
			space = true
		}
	}
	return b.String()
}

// PromptText is what decides whether two prompts are the same: all turns but
// the system message, which every row of a project shares.
func PromptText(msgs []dlm.Message) string {
	var parts []string
	for _, m := range msgs {
		if m.Role != "system" {
			parts = append(parts, m.Content)
		}
	}
	return strings.Join(parts, "\n")
}

// Prompts returns the texts of every prompt that a row trains an answer to: one
// for each assistant turn in the loss. A row of plain text has its prompt, or
// when it has none, all of its text.
func Prompts(r dlm.Row) []string {
	if len(r.Messages) == 0 {
		if r.RawPrompt != "" {
			return []string{r.RawPrompt}
		}
		return []string{r.RawCompletion}
	}
	var out []string
	for i, m := range r.Messages {
		if m.Role == "assistant" && i >= r.TrainFrom {
			out = append(out, PromptText(r.Messages[:i]))
		}
	}
	return out
}
