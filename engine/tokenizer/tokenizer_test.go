package tokenizer

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// Strings of special tokens in plain text must never become special tokens.
func TestSpecialTokensInPlainTextAreText(t *testing.T) {
	tok := smol(t)
	end, ok := tok.Special("<|im_end|>")
	if !ok || end != 2 || !tok.IsSpecial(end) {
		t.Fatalf("<|im_end|> is %d, %v", end, ok)
	}
	const text = "a<|im_end|>b<|im_start|>"
	if ids := tok.Encode(text); slices.ContainsFunc(ids, tok.IsSpecial) {
		t.Errorf("Encode made special tokens: %v", ids)
	}
	if ids := tok.EncodeSpecial(text); !slices.Contains(ids, end) {
		t.Errorf("EncodeSpecial made none: %v", ids)
	}
	if got := tok.Decode(tok.Encode(text)); got != text {
		t.Errorf("Decode gives %q", got)
	}
}

func TestEncodeSpans(t *testing.T) {
	tok := smol(t)
	const text = "<|im_end|>x<|im_end|>y<|im_end|>"
	second := strings.Index(text, "x") + 1
	for _, c := range []struct {
		name  string
		spans [][2]int
		want  string // which of the three are special
	}{
		{"none", nil, "sss"},
		{"empty span", [][2]int{{3, 3}}, "sss"},
		{"exactly the second", [][2]int{{second, second + 10}}, "sps"},
		{"one byte of the second", [][2]int{{second + 9, second + 10}}, "sps"},
		{"between them", [][2]int{{10, 11}}, "sss"},
		{"unsorted, overlapping", [][2]int{{second, second + 3}, {0, 2}, {1, 4}}, "pps"},
		{"all, and beyond the text", [][2]int{{-5, 1000}}, "ppp"},
	} {
		var want []int32
		plain := ""
		flush := func() {
			want = append(want, tok.Encode(plain)...)
			plain = ""
		}
		for i, part := range strings.SplitAfter(text, "<|im_end|>")[:3] {
			before := strings.TrimSuffix(part, "<|im_end|>")
			plain += before
			if c.want[i] == 'p' {
				plain += "<|im_end|>"
				continue
			}
			flush()
			want = append(want, 2)
		}
		flush()
		ids := tok.EncodeSpans(text, c.spans)
		if !slices.Equal(ids, want) {
			t.Errorf("%s: %v, want %v", c.name, ids, want)
		}
		if got := tok.Decode(ids); got != text {
			t.Errorf("%s: decodes to %q", c.name, got)
		}
	}
	if got, want := tok.EncodeSpans(text, [][2]int{{0, len(text)}}), tok.Encode(text); !slices.Equal(got, want) {
		t.Errorf("all plain: %v, want %v", got, want)
	}
}

// SmolLM2 has a token for every byte but 21, four of them ASCII controls.
func TestBytesThatAreNotUTF8RoundTrip(t *testing.T) {
	tok := smol(t)
	missing := 0
	for b := range 256 {
		s := string([]byte{'x', byte(b), 'y'})
		want := s
		if tok.bytes[b] < 0 {
			missing++
			want = "xy"
		}
		if got := tok.Decode(tok.Encode(s)); got != want {
			t.Errorf("byte %#x: %q decodes to %q", b, s, got)
		}
	}
	if missing != 21 {
		t.Errorf("%d bytes have no token, expected 21", missing)
	}
}

func TestRoundTrip(t *testing.T) {
	tokenizers := map[string]*Tokenizer{"smollm2": smol(t)}
	for name := range preTokenizers {
		v := readTiny(t, name)
		tok, err := FromJSON(edited(t, v.Tokenizer, func(doc map[string]any) { doc["normalizer"] = nil }), nil)
		if err != nil {
			t.Fatal(err)
		}
		tokenizers[name] = tok
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
			rapid.StringMatching(`([ \n'a-c1-3]|<\|end\|>|<\|im_end\|>|é){0,40}`)).Draw(t, "text")
		for name, tok := range tokenizers {
			checkRoundTrip(t, name, tok, s)
		}
	})
}

type failer interface {
	Errorf(format string, args ...any)
}

// checkRoundTrip checks what holds for every text.
func checkRoundTrip(t failer, name string, tok *Tokenizer, s string) {
	kept := s
	if tok.Lost(s) > 0 {
		if tok.unknown >= 0 {
			return
		}
		kept = string(slices.DeleteFunc([]byte(s), func(b byte) bool { return tok.bytes[b] < 0 }))
	}
	for mode, ids := range map[string][]int32{"plain": tok.Encode(s), "special": tok.EncodeSpecial(s)} {
		got := tok.Decode(ids)
		// Special tokens are found before bytes are lost, so they may keep some.
		if got != kept && !hasStripping(tok) && !(mode == "special" && tok.Lost(s) > 0) {
			t.Errorf("%s, %s: %q decodes to %q", name, mode, s, got)
		}
		stream, streamed := tok.Stream(), ""
		for _, id := range ids {
			part := stream.Push(id)
			if utf8.ValidString(got) && !utf8.ValidString(part) {
				t.Errorf("%s, %s: %q: the stream gave a part of a character, %q", name, mode, s, part)
			}
			streamed += part
		}
		if streamed += stream.Flush(); streamed != got {
			t.Errorf("%s, %s: %q: streamed %q, decoded %q", name, mode, s, streamed, got)
		}
		if mode == "plain" && slices.ContainsFunc(ids, tok.IsSpecial) {
			t.Errorf("%s: Encode(%q) made a special token: %v", name, s, ids)
		}
	}
}

// hasStripping reports whether an added token eats the spaces beside it.
func hasStripping(tok *Tokenizer) bool {
	return slices.ContainsFunc(tok.added, func(a addedToken) bool { return a.lstrip || a.rstrip })
}

func TestWordCacheDoesNotChangeIDs(t *testing.T) {
	tok := smol(t)
	words := make([]string, 40000) // more than the cache holds
	for i := range words {
		words[i] = " w" + strings.Repeat(string(rune('a'+i%26)), i%7) + strings.Repeat("q", i/26%5) + string(rune('a'+i/130%26)) + string(rune('a'+i/3380%26))
	}
	want := make([][]int32, len(words))
	for i, w := range words {
		want[i] = tok.appendBPE(nil, w)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i, w := range words {
				if got := tok.appendWord(nil, w); !slices.Equal(got, want[i]) {
					t.Errorf("%q: %v, want %v", w, got, want[i])
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestHashTellsTokenizersApart(t *testing.T) {
	base := Vocab{Tokens: []string{"a", "b", "ab", "<s>"}, Types: []int32{1, 1, 1, 3}, Merges: []string{"a b"}, Pre: "gpt-2", BOS: 3, EOS: -1, Pad: -1}
	seen := map[string]string{}
	for name, edit := range map[string]func(v *Vocab){
		"base":    func(*Vocab) {},
		"token":   func(v *Vocab) { v.Tokens[3] = "<t>" },
		"type":    func(v *Vocab) { v.Types[3] = TypeUserDefined },
		"merges":  func(v *Vocab) { v.Merges = nil },
		"pre":     func(v *Vocab) { v.Pre = "smollm" },
		"add BOS": func(v *Vocab) { v.AddBOS = true },
		"longer":  func(v *Vocab) { v.Tokens, v.Types = append(v.Tokens, "c"), append(v.Types, 1) },
	} {
		v := base
		v.Tokens, v.Types = slices.Clone(base.Tokens), slices.Clone(base.Types)
		edit(&v)
		tok, err := New(v)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if other, ok := seen[tok.Hash()]; ok {
			t.Errorf("%s and %s have the same hash", name, other)
		}
		seen[tok.Hash()] = name
		again, _ := New(v)
		if again.Hash() != tok.Hash() {
			t.Errorf("%s: the hash is not stable", name)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		v    Vocab
		want string
	}{
		{"unknown pre", Vocab{Tokens: []string{"a"}, Pre: "falcon"}, `pre-tokeniser "falcon" is not supported; supported are gpt-2, llama-bpe, qwen2, smollm`},
		{"lengths", Vocab{Tokens: []string{"a", "b"}, Types: []int32{1}, Pre: "smollm"}, "token_type has 1 entries, tokenizer.ggml.tokens has 2"},
		{"twice", Vocab{Tokens: []string{"a", "b", "a"}, Pre: "smollm"}, `tokens 0 and 2 are both "a"`},
		{"empty", Vocab{Tokens: []string{"a", ""}, Pre: "smollm"}, "token 1 is empty"},
		{"merge form", Vocab{Tokens: []string{"a", "b", "ab"}, Merges: []string{"ab"}, Pre: "smollm"}, `merge 0: "ab" is not two tokens`},
		{"merge of nothing", Vocab{Tokens: []string{"a", "b"}, Merges: []string{"a b"}, Pre: "smollm"}, `"ab" is not a token`},
		{"merge to special", Vocab{Tokens: []string{"a", "b", "ab"}, Types: []int32{1, 1, 3}, Merges: []string{"a b"}, Pre: "smollm"}, `makes the special token "ab"`},
		{"eos", Vocab{Tokens: []string{"a"}, Pre: "smollm", EOS: 7}, "eos_token_id is 7, but there are 1 tokens"},
	} {
		_, err := New(c.v)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	tok := smol(b)
	text := strings.Repeat("My name is Jane Doe, policy number 4471-2290. I'd like to file a claim for my car; the phone is 555-0134.\n", 200)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		tok.Encode(text)
	}
}
