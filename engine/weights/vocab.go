package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Vocab is what a base says of its tokenizer: either GGUF metadata or the two
// files of a Hugging Face folder.
type Vocab struct {
	GGUF            *GGUFVocab // nil for folders
	TokenizerJSON   []byte     // tokenizer.json
	TokenizerConfig []byte     // tokenizer_config.json; nil where there is none
}

// GGUFVocab holds the tokenizer metadata of a GGUF file.
type GGUFVocab struct {
	Tokens                 []string // by id, in the byte-level alphabet of GPT-2
	Types                  []int32  // 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte
	Merges                 []string // "a b", best first
	Pre                    string   // pre-tokenizer, such as "smollm", "llama-bpe", "qwen2"
	BOS, EOS, Pad, Unknown int32    // -1 = none
	AddBOS                 bool
}

// Vocab returns the tokenizer's data, or why the file has none that can be used.
func (c *Checkpoint) Vocab() (Vocab, error) {
	if c.vocabErr != nil {
		return Vocab{}, fmt.Errorf("%s: %w", c.Path, c.vocabErr)
	}
	return c.vocab, nil
}

// ggufVocab reads tokenizer.ggml.*; rows is the number of embedding rows.
func ggufVocab(g *GGUF, rows int) (Vocab, error) {
	m := &meta{g: g}
	const p = "tokenizer.ggml."
	if kind := m.text(p + "model"); m.err == nil && kind != "gpt2" {
		return Vocab{}, fmt.Errorf("GGUF tokenizer %q is not supported; supported is gpt2 (byte-level BPE)", kind)
	}
	v := &GGUFVocab{Tokens: list[string](m, p+"tokens"), Types: list[int32](m, p+"token_type"), Merges: list[string](m, p+"merges"), Pre: m.text(p + "pre")}
	n := len(v.Tokens)
	id := func(key string) int32 {
		x := m.integer(p+key, math31)
		if x != math31 && (x < 0 || x >= n) && m.err == nil {
			m.err = fmt.Errorf("GGUF metadata %s%s is %d; the vocabulary has %d tokens", p, key, x, n)
		}
		if x == math31 {
			return -1
		}
		return int32(x)
	}
	v.BOS, v.EOS, v.Pad, v.Unknown = id("bos_token_id"), id("eos_token_id"), id("padding_token_id"), id("unknown_token_id")
	if b, ok := g.Value(p + "add_bos_token"); ok {
		if v.AddBOS, ok = b.(bool); !ok {
			m.fail(p+"add_bos_token", "a bool", b)
		}
	}
	switch {
	case m.err != nil:
		return Vocab{}, m.err
	case n == 0:
		return Vocab{}, errors.New("GGUF metadata tokenizer.ggml.tokens is missing or empty")
	case n > rows:
		return Vocab{}, fmt.Errorf("GGUF metadata lists %d tokens but the embedding has %d rows", n, rows)
	case v.Types != nil && len(v.Types) != n:
		return Vocab{}, fmt.Errorf("GGUF metadata lists %d tokens but %d token types", n, len(v.Types))
	case !validUTF8(v.Tokens...) || !validUTF8(v.Merges...):
		return Vocab{}, errors.New("GGUF vocabulary is not valid UTF-8")
	}
	return Vocab{GGUF: v}, nil
}

// math31 marks an absent id; no vocabulary is that large.
const math31 = 1<<31 - 1

// list returns an array of metadata; nil where the key is absent.
func list[T any](m *meta, key string) []T {
	v, ok := m.g.Value(key)
	if !ok {
		return nil
	}
	l, ok := v.([]T)
	if !ok {
		m.fail(key, fmt.Sprintf("an array %T", l), v)
	}
	return l
}

func ggufTemplate(g *GGUF) (string, error) {
	m := &meta{g: g}
	s := m.text("tokenizer.chat_template")
	if m.err == nil && !validUTF8(s) {
		return "", errors.New("GGUF metadata tokenizer.chat_template is not valid UTF-8")
	}
	return s, m.err
}

// readTokenizer loads the tokenizer files of a folder and its chat template:
// chat_template.jinja if it is there, else tokenizer_config.json's.
func (c *Checkpoint) readTokenizer() error {
	var err error
	c.vocab.TokenizerJSON, err = readSmall(filepath.Join(c.Path, "tokenizer.json"))
	if err != nil {
		c.vocabErr = fmt.Errorf("no usable tokenizer.json: %w", err)
	}
	path := filepath.Join(c.Path, "tokenizer_config.json")
	c.vocab.TokenizerConfig, err = readSmall(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	jinja, err := readSmall(filepath.Join(c.Path, "chat_template.jinja"))
	if err == nil {
		c.template = string(jinja)
		return nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if c.vocab.TokenizerConfig != nil {
		if c.template, err = templateFromConfig(c.vocab.TokenizerConfig); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// templateFromConfig returns tokenizer_config.json's chat_template: a string, or
// the entry "default" of a list of named ones.
func templateFromConfig(raw []byte) (string, error) {
	var j struct {
		T json.RawMessage `json:"chat_template"`
	}
	if err := json.Unmarshal(raw, &j); err != nil {
		return "", err
	}
	if !given(j.T) {
		return "", nil
	}
	var one string
	if json.Unmarshal(j.T, &one) == nil {
		return one, nil
	}
	var many []struct{ Name, Template string }
	if err := json.Unmarshal(j.T, &many); err != nil {
		return "", errors.New("chat_template is neither a string nor a list of named templates")
	}
	for _, t := range many {
		if t.Name == "default" {
			return t.Template, nil
		}
	}
	return "", errors.New(`chat_template has no entry named "default"`)
}

// maxSmall bounds the JSON and text files beside the weights, in bytes.
const maxSmall = 256 << 20

// readSmall reads a whole file of bounded size.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSmall+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxSmall {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxSmall)
	}
	return data, nil
}
