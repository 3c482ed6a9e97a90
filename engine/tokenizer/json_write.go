package tokenizer

import (
	"bytes"
	"encoding/json"
	"sort"
)

// JSON writes the tokenizer as the bytes of a tokenizer.json and of a
// tokenizer_config.json, which FromJSON and the Hugging Face libraries read:
// what an adapter's folder needs when its base came as GGUF. The same tokenizer
// gives the same bytes.
func (t *Tokenizer) JSON() (tokenizerJSON, tokenizerConfigJSON []byte, err error) {
	doc := object{
		"version": "1.0", "truncation": nil, "padding": nil, "post_processor": nil, "normalizer": nil,
		"pre_tokenizer": t.jsonPreTokenizer(), "decoder": jsonByteLevel(true),
		"added_tokens": t.jsonAdded(), "model": t.jsonModel(),
	}
	if t.nfc {
		doc["normalizer"] = object{"type": "NFC"}
	}
	config := object{"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": false, "add_bos_token": t.addBOS}
	for key, id := range map[string]int32{"bos_token": t.bos, "eos_token": t.eos, "pad_token": t.pad} {
		if id >= 0 {
			config[key] = t.tokens[id]
		}
	}
	if tokenizerJSON, err = plainJSON(doc); err != nil {
		return nil, nil, err
	}
	tokenizerConfigJSON, err = plainJSON(config)
	return tokenizerJSON, tokenizerConfigJSON, err
}

// object is a JSON object; its keys are written in order.
type object map[string]any

func jsonByteLevel(useRegex bool) object {
	return object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": useRegex}
}

func (t *Tokenizer) jsonPreTokenizer() object {
	var parts []any
	regex := preTokenizers[t.pre].regex
	switch {
	case regex != "":
		parts = append(parts, object{"type": "Split", "pattern": object{"Regex": regex}, "behavior": "Isolated", "invert": false})
	case t.pre == "smollm":
		parts = append(parts, object{"type": "Digits", "individual_digits": true})
	}
	return object{"type": "Sequence", "pretokenizers": append(parts, jsonByteLevel(regex == ""))}
}

func (t *Tokenizer) jsonAdded() []object {
	list := make([]object, len(t.added))
	for i, a := range t.added {
		list[i] = object{"id": a.id, "content": a.content, "single_word": a.singleWord, "lstrip": a.lstrip,
			"rstrip": a.rstrip, "normalized": a.normalised, "special": a.special}
	}
	sort.Slice(list, func(i, j int) bool { return list[i]["id"].(int32) < list[j]["id"].(int32) })
	return list
}

func (t *Tokenizer) jsonModel() object {
	vocab := make(map[string]int32, len(t.tokens))
	for id, token := range t.tokens {
		if token != "" {
			vocab[token] = int32(id)
		}
	}
	merges := make([][2]string, len(t.pairs))
	for i, p := range t.pairs {
		merges[i] = [2]string{t.tokens[p>>32], t.tokens[uint32(p)]}
	}
	model := object{"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
		"fuse_unk": false, "byte_fallback": false, "ignore_merges": t.ignoreMerges, "vocab": vocab, "merges": merges}
	if t.unknown >= 0 {
		model["unk_token"] = t.tokens[t.unknown]
	}
	return model
}

// plainJSON is json.Marshal without escapes for HTML.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err
}
