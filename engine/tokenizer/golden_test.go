package tokenizer

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// SmolLM2's goldens: 72 strings tokenised by the tokenizers library 0.23.3.
func TestSmolLM2Goldens(t *testing.T) {
	b, err := os.ReadFile("../testdata/goldens/tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Cases []struct {
			Text    string
			IDs     []int32 `json:"ids"`
			Plain   []int32 `json:"ids_plain"`
			Decoded string
		}
	}
	if err := json.Unmarshal(b, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Cases) != 72 {
		t.Fatalf("%d goldens, expected 72", len(golden.Cases))
	}
	tok := smol(t)
	for _, c := range golden.Cases {
		if got := tok.EncodeSpecial(c.Text); !slices.Equal(got, c.IDs) {
			t.Errorf("EncodeSpecial(%q) = %v, want %v", c.Text, got, c.IDs)
		}
		if got := tok.Encode(c.Text); !slices.Equal(got, c.Plain) {
			t.Errorf("Encode(%q) = %v, want %v", c.Text, got, c.Plain)
		}
		if got := tok.Decode(c.IDs); got != c.Decoded {
			t.Errorf("Decode of %q = %q, want %q", c.Text, got, c.Decoded)
		}
		if got := tok.Lost(c.Text); (got == 0) != (c.Text == c.Decoded) {
			t.Errorf("Lost(%q) = %d, but it decodes to %q", c.Text, got, c.Decoded)
		}
	}
}

// The reference's ids for each pre-tokeniser (testdata/tiny/make.py).
func TestTinyVocabularies(t *testing.T) {
	for name := range preTokenizers {
		t.Run(name, func(t *testing.T) {
			v := readTiny(t, name)
			tok, err := FromJSON(v.Tokenizer, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(v.Cases) < 400 {
				t.Fatalf("only %d cases", len(v.Cases))
			}
			for _, c := range v.Cases {
				if got := tok.EncodeSpecial(c.Text); !slices.Equal(got, c.IDs) {
					t.Errorf("EncodeSpecial(%q) = %v, want %v", c.Text, got, c.IDs)
				}
				if got := tok.Encode(c.Text); !slices.Equal(got, c.Plain) {
					t.Errorf("Encode(%q) = %v, want %v", c.Text, got, c.Plain)
				}
			}
		})
	}
}

// A GGUF file's metadata gives the same tokenizer as the tokenizer.json.
func TestNewAgreesWithFromJSON(t *testing.T) {
	for name := range preTokenizers {
		t.Run(name, func(t *testing.T) {
			v := readTiny(t, name)
			if name == "gpt-2" || name == "qwen2" {
				// What GGUF files cannot say: an unknown token; flags of added tokens.
				v.Tokenizer = edited(t, v.Tokenizer, func(doc map[string]any) {
					doc["model"].(map[string]any)["unk_token"] = nil
					for _, a := range doc["added_tokens"].([]any) {
						for _, flag := range []string{"lstrip", "rstrip", "single_word", "normalized"} {
							a.(map[string]any)[flag] = false
						}
					}
				})
			}
			fromJSON, err := FromJSON(v.Tokenizer, []byte(`{"bos_token": "<|begin|>", "eos_token": {"content": "<|end|>"}}`))
			if err != nil {
				t.Fatal(err)
			}
			fromGGUF, err := New(vocabOf(t, fromJSON, name))
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range v.Cases {
				if got, want := fromGGUF.EncodeSpecial(c.Text), fromJSON.EncodeSpecial(c.Text); !slices.Equal(got, want) {
					t.Errorf("%q: %v from GGUF, %v from JSON", c.Text, got, want)
				}
			}
			if fromGGUF.Hash() != fromJSON.Hash() {
				t.Errorf("hashes differ: %s, %s", fromGGUF.Hash(), fromJSON.Hash())
			}
			if fromGGUF.EOS() != fromJSON.EOS() || fromGGUF.BOS() != fromJSON.BOS() {
				t.Errorf("bos or eos differ")
			}
		})
	}
}

// vocabOf writes a tokenizer as the metadata of a GGUF file.
func vocabOf(t *testing.T, tok *Tokenizer, pre string) Vocab {
	v := Vocab{Tokens: tok.tokens, Types: tok.kinds, Pre: pre, BOS: tok.bos, EOS: tok.eos, Pad: -1, Unknown: 0, AddBOS: tok.addBOS}
	for _, p := range tok.pairs {
		v.Merges = append(v.Merges, tok.tokens[p>>32]+" "+tok.tokens[uint32(p)])
	}
	return v
}

// A word by its bytes, always joining the best pair of all: what merge must equal.
func naiveMerge(t *mergeTable, ids []int32) []int32 {
	ids = slices.Clone(ids)
	for {
		best, bestRank, into := -1, int32(noMerge), int32(0)
		for i := 0; i+1 < len(ids); i++ {
			if rank, x := t.get(ids[i], ids[i+1]); rank < bestRank {
				best, bestRank, into = i, rank, x
			}
		}
		if best < 0 {
			return ids
		}
		ids = append(append(slices.Clone(ids[:best]), into), ids[best+2:]...)
	}
}

func TestMergeOfLongWords(t *testing.T) {
	tok := smol(t)
	for _, word := range []string{"a", "abcabc", strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("a", 999),
		strings.Repeat("the", 50), strings.Repeat("-=", 77), strings.Repeat("antidisestablishmentarianism", 9)} {
		var ids []int32
		for i := range len(word) {
			ids = tok.appendByte(ids, word[i])
		}
		want := naiveMerge(&tok.merges, ids)
		if got := tok.merges.merge(slices.Clone(ids)); !slices.Equal(got, want) {
			t.Errorf("merge of %d bytes %q: %v, want %v", len(word), word[:1], got, want)
		}
		if got := tok.merges.mergeHeap(slices.Clone(ids)); !slices.Equal(got, want) {
			t.Errorf("mergeHeap of %d bytes %q: %v, want %v", len(word), word[:1], got, want)
		}
	}
}
