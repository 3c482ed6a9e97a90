package chat

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"dlm/engine/tokenizer"
)

var smolVocab = sync.OnceValues(func() ([]byte, error) {
	f, err := os.Open("../tokenizer/testdata/smollm2/tokenizer.json.gz")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
})

var smolOnce = sync.OnceValues(func() (*tokenizer.Tokenizer, error) {
	b, err := smolVocab()
	if err != nil {
		return nil, err
	}
	return tokenizer.FromJSON(b, []byte(`{"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "added_tokens_decoder": {
		"49152": {"content": "<|start_header_id|>", "special": true}, "49153": {"content": "<|end_header_id|>", "special": true},
		"49154": {"content": "<|eot_id|>", "special": true}, "49155": {"content": "[INST]", "special": false},
		"49156": {"content": "<tool>", "special": false}, "49157": {"content": "<turn>", "special": false}}}`))
})

// smol is SmolLM2's vocabulary and a few added tokens more, for templates in the
// manner of other families.
func smol(tb testing.TB) *tokenizer.Tokenizer {
	tb.Helper()
	t, err := smolOnce()
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// template compiles one of testdata/templates, or the source itself.
func template(tb testing.TB, name string) *Template {
	tb.Helper()
	source := name
	if strings.HasSuffix(name, ".jinja") {
		b, err := os.ReadFile(filepath.Join("testdata/templates", name))
		if err != nil {
			tb.Fatal(err)
		}
		source = string(b)
	}
	t, err := New(source, smol(tb), map[string]string{"now": "2026-11-24"})
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	return t
}

// smolLM2 is the template of SmolLM2-135M-Instruct, from its goldens.
func smolLM2(tb testing.TB) *Template { return template(tb, readGolden(tb).ChatTemplate) }

// spoken returns the text of each run of trained tokens.
func spoken(t *Template, ids []int32, mask []bool) []string {
	var runs []string
	for i := 0; i < len(ids); {
		j := i
		for j < len(ids) && mask[j] {
			j++
		}
		if j > i {
			runs = append(runs, t.tok.Decode(ids[i:j]))
		}
		i = j + 1
	}
	return runs
}

func user(s string) Message   { return Message{"user", s} }
func answer(s string) Message { return Message{"assistant", s} }
