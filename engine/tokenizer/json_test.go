package tokenizer

import (
	"slices"
	"strings"
	"testing"
)

// at walks to a nested object.
func at(doc map[string]any, keys ...string) map[string]any {
	for _, k := range keys {
		doc = doc[k].(map[string]any)
	}
	return doc
}

// Whatever could change ids and is not known must be refused by its name.
func TestFromJSONRefuses(t *testing.T) {
	raw := readTiny(t, "llama-bpe").Tokenizer
	part := func(i int) func(doc map[string]any) map[string]any {
		return func(doc map[string]any) map[string]any {
			return at(doc, "pre_tokenizer")["pretokenizers"].([]any)[i].(map[string]any)
		}
	}
	split, byteLevel := part(0), part(1)
	for _, c := range []struct {
		name string
		edit func(doc map[string]any)
		want string
	}{
		{"pre-tokeniser", func(d map[string]any) { d["pre_tokenizer"] = map[string]any{"type": "Metaspace"} }, "pre_tokenizer Metaspace is not supported; supported are"},
		{"no pre-tokeniser", func(d map[string]any) { d["pre_tokenizer"] = nil }, "pre_tokenizer none is not supported"},
		{"regex", func(d map[string]any) { split(d)["pattern"] = map[string]any{"Regex": `\d+`} }, `Split("\\d+", Isolated, invert false) then ByteLevel`},
		{"behaviour", func(d map[string]any) { split(d)["behavior"] = "Removed" }, "Removed"},
		{"inverted", func(d map[string]any) { split(d)["invert"] = true }, "invert true"},
		{"prefix space", func(d map[string]any) { byteLevel(d)["add_prefix_space"] = true }, "add_prefix_space true"},
		{"two regexes", func(d map[string]any) { byteLevel(d)["use_regex"] = true }, "use_regex true"},
		{"normaliser", func(d map[string]any) { d["normalizer"] = map[string]any{"type": "Lowercase"} }, `normalizer "Lowercase" is not supported; supported are none and NFC`},
		{"decoder", func(d map[string]any) { d["decoder"] = map[string]any{"type": "WordPiece"} }, `decoder "WordPiece" is not supported`},
		{"post-processor", func(d map[string]any) { d["post_processor"] = map[string]any{"type": "BertProcessing"} }, `post_processor "BertProcessing" is not supported`},
		{"model", func(d map[string]any) { at(d, "model")["type"] = "Unigram" }, `model.type "Unigram" is not supported; supported is BPE`},
		{"dropout", func(d map[string]any) { at(d, "model")["dropout"] = 0.1 }, "model.dropout 0.1 is not supported"},
		{"suffix", func(d map[string]any) { at(d, "model")["end_of_word_suffix"] = "</w>" }, "model.end_of_word_suffix"},
		{"fallback", func(d map[string]any) { at(d, "model")["byte_fallback"] = true }, "model.byte_fallback"},
		{"unknown", func(d map[string]any) { at(d, "model")["unk_token"] = "<none>" }, `model.unk_token "<none>" is not a token`},
		{"far id", func(d map[string]any) { at(d, "model", "vocab")["q"] = 1e8 }, `token "q" has the id 100000000`},
		{"negative id", func(d map[string]any) { at(d, "model", "vocab")["q"] = -1 }, `token "q" has the id -1`},
		{"id twice", func(d map[string]any) { at(d, "model", "vocab")["qqqq"] = 5 }, "have the same id 5"},
		{"added with another id", func(d map[string]any) { d["added_tokens"].([]any)[0].(map[string]any)["id"] = 3 }, "added_tokens:"},
		{"merge", func(d map[string]any) { at(d, "model")["merges"] = []any{"a b c"} }, `"a b c" is not two tokens`},
		{"merge of three", func(d map[string]any) { at(d, "model")["merges"] = []any{[]any{"a", "b", "c"}} }, "a merge has 3 parts"},
		{"no vocabulary", func(d map[string]any) { at(d, "model")["vocab"] = map[string]any{} }, "model.vocab is empty"},
	} {
		_, err := FromJSON(edited(t, raw, c.edit), nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := FromJSON(raw, []byte(`{"eos_token": "<none>"}`)); err == nil || !strings.Contains(err.Error(), `eos_token is "<none>", which is not a token`) {
		t.Errorf("eos: %v", err)
	}
	if _, err := FromJSON([]byte(`{"model"`), nil); err == nil || !strings.Contains(err.Error(), "tokenizer.json: ") {
		t.Errorf("broken JSON: %v", err)
	}
}

func TestFromJSONConfig(t *testing.T) {
	raw := readTiny(t, "llama-bpe").Tokenizer
	tok, err := FromJSON(raw, []byte(`{"bos_token": "<|begin|>", "eos_token": {"content": "<|end|>", "lstrip": false}, "pad_token": null,
		"added_tokens_decoder": {"700": {"content": "<|late|>", "special": true}}}`))
	if err != nil {
		t.Fatal(err)
	}
	begin, _ := tok.Special("<|begin|>")
	end, _ := tok.Special("<|end|>")
	if tok.BOS() != begin || tok.EOS() != end || tok.Pad() != -1 {
		t.Errorf("bos %d, eos %d, pad %d", tok.BOS(), tok.EOS(), tok.Pad())
	}
	if !tok.AddBOS() {
		t.Error("TemplateProcessing begins with <|begin|>, but AddBOS is false")
	}
	if late, ok := tok.Special("<|late|>"); !ok || late != 700 || tok.Size() != 701 {
		t.Errorf("<|late|> of tokenizer_config.json is %d, %v; size %d", late, ok, tok.Size())
	}
	if got := tok.Decode([]int32{699, 700, 9999, -1}); got != "<|late|>" {
		t.Errorf("ids without tokens decode to %q", got)
	}
	without, err := FromJSON(raw, []byte(`{"bos_token": "<|begin|>", "add_bos_token": false}`))
	if err != nil {
		t.Fatal(err)
	}
	if without.AddBOS() {
		t.Error("add_bos_token false is not honoured")
	}
}

func TestAddedSpans(t *testing.T) {
	tok, err := FromJSON(readTiny(t, "qwen2").Tokenizer, nil)
	if err != nil {
		t.Fatal(err)
	}
	const text = "a <|end|>  <left><right>  <|end|>x b"
	want := []string{"<|end|>", "<left>", "<right>", "<|end|>x"}
	spans := tok.AddedSpans(text, tok.IsAdded)
	if len(spans) != len(want) {
		t.Fatalf("%d spans, want %d: %v", len(spans), len(want), spans)
	}
	for i, s := range spans {
		if got := text[s[0]:s[1]]; got != want[i] {
			t.Errorf("span %d is %q, want %q", i, got, want[i])
		}
	}
	if got := tok.AddedSpans(text, tok.IsSpecial); len(got) != 2 {
		t.Errorf("%d special spans, want 2", len(got))
	}
}

// What JSON writes is read back as the same tokenizer.
func TestJSONRoundTrip(t *testing.T) {
	for name := range preTokenizers {
		v := readTiny(t, name)
		tok, err := FromJSON(v.Tokenizer, []byte(`{"bos_token": "<|begin|>", "eos_token": "<|end|>"}`))
		if err != nil {
			t.Fatal(err)
		}
		doc, cfg, err := tok.JSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := FromJSON(doc, cfg)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if again.Hash() != tok.Hash() || again.BOS() != tok.BOS() || again.EOS() != tok.EOS() || again.Pad() != tok.Pad() {
			t.Errorf("%s: another tokenizer came back", name)
		}
		for _, c := range v.Cases {
			if got := again.EncodeSpecial(c.Text); !slices.Equal(got, c.IDs) {
				t.Errorf("%s: EncodeSpecial(%q) = %v, want %v", name, c.Text, got, c.IDs)
			}
		}
		if doc2, cfg2, _ := again.JSON(); string(doc2) != string(doc) || string(cfg2) != string(cfg) {
			t.Errorf("%s: other bytes the second time", name)
		}
	}
}
