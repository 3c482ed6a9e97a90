package tokenizer

import (
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"
)

// splitter returns the end of the word that begins at s[i]; i is inside s, the
// end is beyond i. Words cover s without gaps. The scanners below are the
// regular expressions quoted over them, alternative by alternative.
type splitter func(s string, i int) int

// preTokenizer is one way to cut text into words.
type preTokenizer struct {
	split  splitter
	nfc    bool   // the models that use it normalise to NFC
	ignore bool   // and take a word that is a token as it is, whatever the merges say
	regex  string // the Split pattern of tokenizer.json, empty when it has none
}

const (
	clRegexHead = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|`
	clRegexTail = `| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// preTokenizers by the name that GGUF files give them in tokenizer.ggml.pre.
// nfc and ignore hold for GGUF files, which do not state them; tokenizer.json
// states its own.
var preTokenizers = map[string]preTokenizer{
	"gpt-2":     {split: func(s string, i int) int { return splitGPT2(s, i, false) }},
	"smollm":    {split: func(s string, i int) int { return splitGPT2(s, i, true) }},
	"llama-bpe": {split: func(s string, i int) int { return splitCL100K(s, i, 3) }, ignore: true, regex: clRegexHead + `\p{N}{1,3}` + clRegexTail},
	"qwen2":     {split: func(s string, i int) int { return splitCL100K(s, i, 1) }, nfc: true, regex: clRegexHead + `\p{N}` + clRegexTail},
}

// preAliases are further names of the same pre-tokenisers.
var preAliases = map[string]string{"llama3": "llama-bpe", "llama-v3": "llama-bpe"}

// preTokenizerFor finds a pre-tokeniser by its GGUF name.
func preTokenizerFor(name string) (string, preTokenizer, error) {
	if alias, ok := preAliases[name]; ok {
		name = alias
	}
	p, ok := preTokenizers[name]
	if !ok {
		return "", preTokenizer{}, fmt.Errorf("pre-tokeniser %q is not supported; supported are %s", name, supportedPre())
	}
	return name, p, nil
}

func supportedPre() string {
	names := make([]string, 0, len(preTokenizers))
	for name := range preTokenizers {
		names = append(names, name)
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}

// splitGPT2 is GPT-2's pattern:
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// With digits, every number character is cut out first and stands alone, and
// the text on either side of it is matched as if nothing followed (SmolLM2).
func splitGPT2(s string, i int, digits bool) int {
	c, n := classForDigits(s, i, digits)
	if c == number && digits {
		return i + n
	}
	if s[i] == '\'' {
		if m := contraction(s, i, false); m > 0 {
			return i + m
		}
	}
	start := i
	if s[i] == ' ' && i+1 < len(s) {
		i++
		c, n = classForDigits(s, i, digits)
	}
	if !c.isSpace() && !(c == number && digits) {
		for i += n; i < len(s); i += n {
			var next class
			if next, n = classForDigits(s, i, digits); next != c {
				break
			}
		}
		return i
	}
	return splitSpaces(s, start, func(end int) bool {
		c, _ := classForDigits(s, end, digits)
		return digits && c == number
	})
}

// classForDigits is classAt, with the few characters more that the Digits
// pre-tokeniser counts as numbers.
func classForDigits(s string, i int, digits bool) (class, int) {
	c, n := classAt(s, i)
	if digits && c == other && n == 4 {
		if r, _ := utf8.DecodeRuneInString(s[i:]); in(r, newerDigits) {
			return number, n
		}
	}
	return c, n
}

// splitSpaces matches \s+(?!\S)|\s+ at s[i], which is a space: the whole run
// when nothing follows it, else all but its last character, which the next
// word may take. cut, asked at the end of the run, says that the text ends
// there.
func splitSpaces(s string, i int, cut func(end int) bool) int {
	last, end := i, i
	for end < len(s) {
		c, n := classAt(s, end)
		if !c.isSpace() {
			break
		}
		last, end = end, end+n
	}
	if end == len(s) || last == i || cut != nil && cut(end) {
		return end
	}
	return last
}

// splitCL100K is the pattern that Llama-3 (maxDigits 3) and Qwen2 (1) took from
// cl100k:
//
//	(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
func splitCL100K(s string, i, maxDigits int) int {
	if s[i] == '\'' {
		if m := contraction(s, i, true); m > 0 {
			return i + m
		}
	}
	c, n := classAt(s, i)
	switch c {
	case letter:
		return runOf(s, i+n, letter)
	case number:
		end := i + n
		for k := 1; k < maxDigits && end < len(s); k++ {
			next, n := classAt(s, end)
			if next != number {
				break
			}
			end += n
		}
		return end
	case other, space:
		if i+n < len(s) {
			if next, m := classAt(s, i+n); next == letter {
				return runOf(s, i+n+m, letter)
			} else if next == other && s[i] == ' ' {
				return newlines(s, runOf(s, i+n+m, other))
			}
		}
		if c == other {
			return newlines(s, runOf(s, i+n, other))
		}
	}
	if end := throughLastNewline(s, i); end > i {
		return end
	}
	return splitSpaces(s, i, nil)
}

// runOf returns the end of the run of class c that goes on at s[i].
func runOf(s string, i int, c class) int {
	for i < len(s) {
		next, n := classAt(s, i)
		if next != c {
			break
		}
		i += n
	}
	return i
}

// newlines returns the end of the [\r\n]* at s[i].
func newlines(s string, i int) int {
	for i < len(s) && (s[i] == '\r' || s[i] == '\n') {
		i++
	}
	return i
}

// throughLastNewline matches \s*[\r\n]+ at s[i]: up to and including the last
// newline of the run of spaces. It returns i when there is none.
func throughLastNewline(s string, i int) int {
	end := i
	for i < len(s) {
		c, n := classAt(s, i)
		if !c.isSpace() {
			break
		}
		i += n
		if c == newline {
			end = i
		}
	}
	return end
}

// contraction returns the length of 's, 't, 're, 've, 'm, 'll or 'd at s[i], or
// 0. Without regard to case, the long s (U+017F) is an s too.
func contraction(s string, i int, fold bool) int {
	at := func(k int) byte {
		if i+k >= len(s) {
			return 0
		}
		b := s[i+k]
		if fold && 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		return b
	}
	switch at(1) {
	case 's', 't', 'm', 'd':
		return 2
	case 'r', 'v':
		if at(2) == 'e' {
			return 3
		}
	case 'l':
		if at(2) == 'l' {
			return 3
		}
	}
	if fold && strings.HasPrefix(s[i+1:], "\u017f") {
		return 1 + len("\u017f")
	}
	return 0
}
