package tokenizer

import (
	"sort"
	"strings"
)

// Encode returns the ids of text. Special tokens in it are text; added tokens
// that are not special are read, as in the reference. It adds no BOS or EOS.
func (t *Tokenizer) Encode(text string) []int32 {
	return t.encode(text, func(a *addedToken, _, _ int) bool { return !a.special })
}

// EncodeSpecial returns the ids of text with the special tokens in it parsed.
// It is for text that the program or the chat template wrote, not a user.
func (t *Tokenizer) EncodeSpecial(text string) []int32 {
	return t.encode(text, func(*addedToken, int, int) bool { return true })
}

// EncodeSpans is EncodeSpecial, but an added token that overlaps one of the
// plain spans (byte offsets, end exclusive) is text.
func (t *Tokenizer) EncodeSpans(text string, plain [][2]int) []int32 {
	if len(plain) == 0 {
		return t.EncodeSpecial(text)
	}
	spans := mergeSpans(plain)
	return t.encode(text, func(_ *addedToken, start, end int) bool {
		i := sort.Search(len(spans), func(i int) bool { return spans[i][1] > start })
		return i == len(spans) || spans[i][0] >= end
	})
}

// mergeSpans sorts spans and joins those that touch; empty ones vanish.
func mergeSpans(spans [][2]int) [][2]int {
	sorted := make([][2]int, 0, len(spans))
	for _, s := range spans {
		if s[0] < s[1] {
			sorted = append(sorted, s)
		}
	}
	sort.Slice(sorted, func(i, j int) bool { return sorted[i][0] < sorted[j][0] })
	out := sorted[:0]
	for _, s := range sorted {
		if n := len(out); n > 0 && s[0] <= out[n-1][1] {
			out[n-1][1] = max(out[n-1][1], s[1])
		} else {
			out = append(out, s)
		}
	}
	return out
}

// encode cuts added tokens out of text, as far as they are allowed, and splits
// the rest into words.
func (t *Tokenizer) encode(text string, allowed func(a *addedToken, start, end int) bool) []int32 {
	ids := make([]int32, 0, len(text)/3+4)
	found := func(a *addedToken) { ids = append(ids, a.id) }
	t.raw.cut(text, allowed, func(start, end int) {
		part := text[start:end]
		if !t.nfc {
			ids = t.appendText(ids, part)
			return
		}
		part = normaliseNFC(part)
		if t.normal.count == 0 {
			ids = t.appendText(ids, part)
			return
		}
		// Offsets in normalised text are not those of the caller's spans; the
		// tokens looked for here are never special.
		every := func(*addedToken, int, int) bool { return true }
		t.normal.cut(part, every, func(s, e int) { ids = t.appendText(ids, part[s:e]) }, found)
	}, found)
	return ids
}

// appendText appends the ids of text without added tokens.
func (t *Tokenizer) appendText(ids []int32, text string) []int32 {
	for i := 0; i < len(text); {
		end := t.split(text, i)
		ids = t.appendWord(ids, text[i:end])
		i = end
	}
	return ids
}

// appendWord appends the ids of one word.
func (t *Tokenizer) appendWord(ids []int32, word string) []int32 {
	if len(word) == 1 {
		return t.appendByte(ids, word[0])
	}
	if len(word) > cacheMaxWord {
		return t.appendBPE(ids, word)
	}
	slot := t.cache.slot(word)
	if hit := slot.Load(); hit != nil && hit.word == word {
		return append(ids, hit.ids...)
	}
	from := len(ids)
	ids = t.appendBPE(ids, word)
	slot.Store(&cachedWord{strings.Clone(word), append([]int32(nil), ids[from:]...)})
	return ids
}

// appendBPE appends the ids of one word: its bytes, merged.
func (t *Tokenizer) appendBPE(ids []int32, word string) []int32 {
	if t.ignoreMerges {
		if id, ok := t.words[word]; ok {
			return append(ids, id)
		}
	}
	from := len(ids)
	for i := range len(word) {
		ids = t.appendByte(ids, word[i])
	}
	merged := t.merges.merge(ids[from:])
	return ids[:from+len(merged)]
}

// appendByte appends the id of one byte. A byte that the vocabulary lacks
// becomes the unknown token or, without one, is dropped (SmolLM2 lacks 21).
func (t *Tokenizer) appendByte(ids []int32, b byte) []int32 {
	if id := t.bytes[b]; id >= 0 {
		return append(ids, id)
	}
	if t.unknown >= 0 {
		return append(ids, t.unknown)
	}
	return ids
}

// Lost returns how many bytes of text have no token in the vocabulary: Encode
// drops them or makes them unknown, so Decode cannot give them back.
func (t *Tokenizer) Lost(text string) int {
	lost := 0
	for i := range len(text) {
		if t.bytes[text[i]] < 0 {
			lost++
		}
	}
	return lost
}
