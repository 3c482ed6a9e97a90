package tokenizer

import (
	"testing"
)

func FuzzRoundTrip(f *testing.F) {
	tok := smol(f)
	for _, s := range []string{"", "Hello world", "a<|im_end|>b", "12 345", "  \n x", "caf\u0301e", "\xff\xfe", "'s'S'\u017f", "日本語", "<|im_\x00end|>"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkRoundTrip(t, "smollm2", tok, string(b)) })
}

func FuzzFromJSON(f *testing.F) {
	f.Add([]byte(readTiny(f, "qwen2").Tokenizer), []byte(`{"eos_token": "<|end|>"}`))
	f.Add([]byte(`{"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false}}`), []byte(`{}`))
	f.Add([]byte(`{"added_tokens":[{"id":3,"content":"<s>","special":true,"lstrip":true}],"model":{"vocab":{"a":0},"merges":[["a","a"]]},"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"ByteLevel"}]}}`), []byte(`null`))
	f.Fuzz(func(t *testing.T, doc, cfg []byte) {
		tok, err := FromJSON(doc, cfg)
		if err != nil {
			return
		}
		const text = "ab a1 <s> b"
		tok.Decode(tok.EncodeSpecial(text))
		for _, id := range tok.Encode(text) {
			if tok.IsSpecial(id) && id != tok.unknown {
				t.Errorf("Encode made the special token %d", id)
			}
		}
	})
}

func FuzzPreTokenizers(f *testing.F) {
	for _, s := range []string{"Hello world", "  \n\n x", "'ll 'LL", "1234567", "\xff\xffa", "a\u00a0\u2028b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for name, p := range preTokenizers {
			for i := 0; i < len(s); {
				end := p.split(s, i)
				if end <= i || end > len(s) {
					t.Fatalf("%s: word at %d of %q ends at %d", name, i, s, end)
				}
				i = end
			}
		}
	})
}
