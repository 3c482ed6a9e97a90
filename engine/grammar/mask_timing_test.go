package grammar_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"dlm/engine/grammar"
	"dlm/engine/tokenizer"
	"dlm/engine/weights"
)

// realVocabulary is that of the base in DLM_TEST_MODEL, made up to size with
// words of random letters.
func realVocabulary(b *testing.B, size int) (*grammar.Vocabulary, *tokenizer.Tokenizer) {
	path := os.Getenv("DLM_TEST_MODEL")
	if path == "" {
		b.Skip("DLM_TEST_MODEL names no base")
	}
	ck, err := weights.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer ck.Close()
	v, err := ck.Vocab()
	if err != nil {
		b.Fatal(err)
	}
	g := v.GGUF
	tok, err := tokenizer.New(tokenizer.Vocab{Tokens: g.Tokens, Types: g.Types, Merges: g.Merges, Pre: g.Pre, BOS: g.BOS, EOS: g.EOS, Pad: g.Pad, Unknown: g.Unknown})
	if err != nil {
		b.Fatal(err)
	}
	pieces := make([][]byte, max(size, tok.Size()))
	r := rand.New(rand.NewPCG(1, 2))
	for id := range pieces {
		switch {
		case id >= tok.Size():
			pieces[id] = fmt.Appendf(nil, " %x", r.Uint64()>>(4*r.UintN(12)))
		case !tok.IsSpecial(int32(id)):
			pieces[id] = tok.Piece(int32(id))
		}
	}
	return grammar.NewVocabulary(pieces, []int32{tok.EOS()}, tok.Encode), tok
}

const timedSchema = `{"type":"object","properties":{"name":{"type":"string"},"note":{"type":"string","maxLength":200},"kind":{"enum":["card","loan","account"]},"amount":{"type":"number","minimum":0},"tags":{"type":"array","items":{"type":"string"}}},"required":["name","note","kind","amount","tags"],"additionalProperties":false}`

const timedText = `{"name": "Ada Lovelace", "note": "wants to know why the card was declined twice in one day", "kind": "card", "amount": 12.50, "tags": ["declined", "card", "urgent"]}`

// BenchmarkMask follows one text. new is an automaton that nobody has used, kept
// one that a completion has been through.
func BenchmarkMask(b *testing.B) {
	for _, size := range []int{49152, 151936} {
		v, tok := realVocabulary(b, size)
		ids := tok.Encode(timedText)
		mask := make([]uint64, (size+63)/64)
		follow := func(b *testing.B, a *grammar.Automaton) (slowest time.Duration) {
			m := a.Matcher()
			for _, id := range ids {
				start := time.Now()
				m.Mask(mask)
				slowest = max(slowest, time.Since(start))
				if !m.Advance(id) {
					b.Fatalf("%q is not taken", tok.Piece(id))
				}
			}
			return slowest
		}
		g, err := grammar.JSONSchema([]byte(timedSchema))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%d/new", size), func(b *testing.B) {
			var slowest time.Duration
			for b.Loop() {
				a, err := grammar.New(g, v)
				if err != nil {
					b.Fatal(err)
				}
				slowest = max(slowest, follow(b, a))
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(ids)), "us/token")
			b.ReportMetric(float64(slowest.Microseconds()), "us-slowest")
		})
		b.Run(fmt.Sprintf("%d/kept", size), func(b *testing.B) {
			a, err := grammar.New(g, v)
			if err != nil {
				b.Fatal(err)
			}
			follow(b, a)
			var slowest time.Duration
			for b.Loop() {
				slowest = max(slowest, follow(b, a))
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(ids)), "us/token")
			b.ReportMetric(float64(a.Bytes())/1e6, "MB")
		})
		b.Run(fmt.Sprintf("%d/schema", size), func(b *testing.B) {
			for b.Loop() {
				if _, err := grammar.JSONSchema([]byte(timedSchema)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
