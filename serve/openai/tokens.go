package openai

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"dlm"
)

// least stands for a log-probability that JSON cannot write, as in vLLM.
const least = -9999.0

// finite is what JSON can write.
func finite(logp float64) float64 {
	if math.IsNaN(logp) || math.IsInf(logp, 0) {
		return least
	}
	return logp
}

// spelled is what a token spells; an engine that does not tell has its text alone.
func spelled(t dlm.Token) []byte {
	if t.Bytes == nil {
		return []byte(t.Text)
	}
	return t.Bytes
}

// piece writes bytes as a chat answer names a token: text, or where they are no
// whole characters, escapes.
func piece(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var s strings.Builder
	for _, c := range b {
		fmt.Fprintf(&s, `\x%02x`, c)
	}
	return s.String()
}

// legacyPiece is a piece as plain completions name it: escapes have a mark.
func legacyPiece(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return "bytes:" + piece(b)
}

// characters counts the characters that begin in b.
func characters(b []byte) int {
	n := 0
	for _, c := range b {
		if utf8.RuneStart(c) {
			n++
		}
	}
	return n
}

// promptLogProbs writes a prompt's log-probabilities as vLLM does: for each token
// but the first a map from id to log-probability, rank and text, of the token
// itself and of its top likeliest alternatives.
func promptLogProbs(tokens []dlm.Token, top int) []any {
	out := make([]any, len(tokens))
	for i, t := range tokens {
		if i == 0 {
			continue // nothing stands before it
		}
		m := map[string]promptToken{}
		own := promptToken{LogProb: finite(t.LogProb), Text: piece(spelled(t))}
		for rank, a := range t.Top {
			r := rank + 1
			if a.ID == t.ID {
				own.Rank = &r
			} else if rank < top {
				m[strconv.Itoa(int(a.ID))] = promptToken{LogProb: finite(a.LogProb), Rank: &r, Text: piece(a.Bytes)}
			}
		}
		m[strconv.Itoa(int(t.ID))] = own
		out[i] = m
	}
	return out
}

type promptToken struct {
	LogProb float64 `json:"logprob"`
	Rank    *int    `json:"rank"` // from 1; null when it is not among those looked at
	Text    string  `json:"decoded_token"`
}
