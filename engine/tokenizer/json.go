package tokenizer

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
)

// jsonFile is the part of a tokenizer.json that decides ids.
type jsonFile struct {
	Added         []jsonAdded     `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         jsonModel       `json:"model"`
}

type jsonAdded struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

type jsonModel struct {
	Type         string           `json:"type"`
	Vocab        map[string]int32 `json:"vocab"`
	Merges       []jsonMerge      `json:"merges"`
	UnkToken     *string          `json:"unk_token"`
	Dropout      *float64         `json:"dropout"`
	Prefix       string           `json:"continuing_subword_prefix"`
	Suffix       string           `json:"end_of_word_suffix"`
	FuseUnk      bool             `json:"fuse_unk"`
	ByteFallback bool             `json:"byte_fallback"`
	IgnoreMerges bool             `json:"ignore_merges"`
}

// jsonMerge is a merge in either of its two forms, "a b" or ["a", "b"].
type jsonMerge [2]string

func (m *jsonMerge) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		var pair []string
		if err := json.Unmarshal(b, &pair); err != nil {
			return err
		}
		if len(pair) != 2 {
			return fmt.Errorf("model.merges: a merge has %d parts, expected 2", len(pair))
		}
		*m = jsonMerge{pair[0], pair[1]}
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	pair, err := splitMerge(s)
	if err != nil {
		return fmt.Errorf("model.merges: %w", err)
	}
	*m = pair
	return nil
}

// jsonConfig is the part of a tokenizer_config.json that we read.
type jsonConfig struct {
	BOS    jsonTokenName        `json:"bos_token"`
	EOS    jsonTokenName        `json:"eos_token"`
	Pad    jsonTokenName        `json:"pad_token"`
	AddBOS *bool                `json:"add_bos_token"`
	Added  map[string]jsonAdded `json:"added_tokens_decoder"`
}

// jsonTokenName is a token's text, written as such or inside an object.
type jsonTokenName string

func (n *jsonTokenName) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var o struct {
			Content string `json:"content"`
		}
		err := json.Unmarshal(b, &o)
		*n = jsonTokenName(o.Content)
		return err
	}
	return json.Unmarshal(b, (*string)(n))
}

// FromJSON builds a tokenizer from the bytes of a tokenizer.json and of the
// tokenizer_config.json beside it, which may be nil. Whatever it does not know
// and what could change ids is refused by name.
func FromJSON(tokenizerJSON, tokenizerConfigJSON []byte) (*Tokenizer, error) {
	var f jsonFile
	if err := json.Unmarshal(tokenizerJSON, &f); err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	var cfg jsonConfig
	if len(tokenizerConfigJSON) != 0 {
		if err := json.Unmarshal(tokenizerConfigJSON, &cfg); err != nil {
			return nil, fmt.Errorf("tokenizer_config.json: %w", err)
		}
	}
	t, err := f.build(cfg)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	for _, x := range []struct {
		key  string
		name jsonTokenName
		to   *int32
	}{{"bos_token", cfg.BOS, &t.bos}, {"eos_token", cfg.EOS, &t.eos}, {"pad_token", cfg.Pad, &t.pad}} {
		if x.name == "" {
			continue
		}
		id, ok := t.specialID[string(x.name)]
		if !ok {
			if id, ok = f.Model.Vocab[string(x.name)]; !ok {
				return nil, fmt.Errorf("tokenizer_config.json: %s is %q, which is not a token", x.key, x.name)
			}
		}
		*x.to = id
	}
	if cfg.AddBOS != nil {
		t.addBOS = *cfg.AddBOS
	}
	t.addBOS = t.addBOS && t.bos >= 0
	t.hash = t.computeHash()
	return t, nil
}

func (f *jsonFile) build(cfg jsonConfig) (*Tokenizer, error) {
	if err := f.Model.check(); err != nil {
		return nil, err
	}
	nfc, err := readNormalizer(f.Normalizer)
	if err != nil {
		return nil, err
	}
	name, p, err := readPreTokenizer(f.PreTokenizer)
	if err != nil {
		return nil, err
	}
	if err := checkDecoder(f.Decoder); err != nil {
		return nil, err
	}
	addBOS, err := readPostProcessor(f.PostProcessor)
	if err != nil {
		return nil, err
	}
	t := newTokenizer(name, p)
	t.nfc, t.ignoreMerges, t.addBOS = nfc, f.Model.IgnoreMerges, addBOS
	if f.Added, err = withConfigTokens(f.Added, cfg.Added); err != nil {
		return nil, err
	}
	if err := f.fill(t); err != nil {
		return nil, err
	}
	if u := f.Model.UnkToken; u != nil {
		id, ok := f.Model.Vocab[*u]
		if !ok {
			return nil, fmt.Errorf("model.unk_token %q is not a token", *u)
		}
		t.unknown = id
	}
	merges := make([][2]string, len(f.Model.Merges))
	for i, m := range f.Model.Merges {
		merges[i] = m
	}
	return t, t.finish(merges)
}

func (m *jsonModel) check() error {
	unsupported := func(field string, value any) error {
		return fmt.Errorf("model.%s %v is not supported; supported is byte-level BPE without it", field, value)
	}
	switch {
	case m.Type != "BPE" && m.Type != "":
		return fmt.Errorf("model.type %q is not supported; supported is BPE", m.Type)
	case len(m.Vocab) == 0:
		return fmt.Errorf("model.vocab is empty")
	case m.Dropout != nil && *m.Dropout != 0:
		return unsupported("dropout", *m.Dropout)
	case m.Prefix != "":
		return unsupported("continuing_subword_prefix", strconv.Quote(m.Prefix))
	case m.Suffix != "":
		return unsupported("end_of_word_suffix", strconv.Quote(m.Suffix))
	case m.ByteFallback:
		return unsupported("byte_fallback", true)
	case m.FuseUnk && m.UnkToken != nil:
		return unsupported("fuse_unk", true)
	}
	return nil
}

// withConfigTokens adds the added tokens that only tokenizer_config.json lists.
func withConfigTokens(added []jsonAdded, decoder map[string]jsonAdded) ([]jsonAdded, error) {
	have := make(map[int32]bool, len(added))
	for _, a := range added {
		have[a.ID] = true
	}
	var more []jsonAdded
	for key, a := range decoder {
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("tokenizer_config.json: added_tokens_decoder: %q is not an id", key)
		}
		if a.ID = int32(id); !have[a.ID] {
			more = append(more, a)
		}
	}
	sort.Slice(more, func(i, j int) bool { return more[i].ID < more[j].ID })
	return append(added[:len(added):len(added)], more...), nil
}

// fill gives t its tokens by id.
func (f *jsonFile) fill(t *Tokenizer) error {
	total := len(f.Model.Vocab) + len(f.Added)
	size := 0
	place := func(token string, id int32) error {
		// Holes are allowed, but not so many that a broken file takes all memory.
		if id < 0 || int(id) >= 2*total+1024 {
			return fmt.Errorf("token %q has the id %d in a vocabulary of %d", token, id, total)
		}
		size = max(size, int(id)+1)
		return nil
	}
	for token, id := range f.Model.Vocab {
		if token == "" {
			return fmt.Errorf("model.vocab: the token with id %d is empty", id)
		}
		if err := place(token, id); err != nil {
			return err
		}
	}
	for _, a := range f.Added {
		if a.Content == "" {
			return fmt.Errorf("added_tokens: the token with id %d is empty", a.ID)
		}
		if err := place(a.Content, a.ID); err != nil {
			return err
		}
	}
	tokens, kinds := make([]string, size), make([]int32, size)
	for token, id := range f.Model.Vocab {
		if tokens[id] != "" {
			return fmt.Errorf("model.vocab: %q and %q have the same id %d", min(token, tokens[id]), max(token, tokens[id]), id)
		}
		tokens[id], kinds[id] = token, TypeNormal
	}
	for _, a := range f.Added {
		if id, ok := f.Model.Vocab[a.Content]; ok && id != a.ID {
			return fmt.Errorf("added_tokens: %q has the id %d, but %d in model.vocab", a.Content, a.ID, id)
		}
		if tokens[a.ID] != "" && tokens[a.ID] != a.Content {
			return fmt.Errorf("added_tokens: %q has the id %d of %q", a.Content, a.ID, tokens[a.ID])
		}
		tokens[a.ID], kinds[a.ID] = a.Content, TypeUserDefined
		if a.Special {
			kinds[a.ID] = TypeControl
		}
		t.added = append(t.added, addedToken{content: a.Content, id: a.ID, special: a.Special,
			singleWord: a.SingleWord, lstrip: a.LStrip, rstrip: a.RStrip, normalised: a.Normalized})
	}
	for id, token := range tokens {
		if token == "" {
			kinds[id] = TypeUnused
		}
		t.addToken(token, kinds[id])
	}
	return nil
}
