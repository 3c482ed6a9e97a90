package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
)

// jsonPart is one element of the pipeline in a tokenizer.json: a normaliser,
// pre-tokeniser, post-processor or decoder.
type jsonPart struct {
	Type string `json:"type"`

	// Sequence, under the name that each kind of part has for it.
	Normalizers   []json.RawMessage `json:"normalizers"`
	PreTokenizers []json.RawMessage `json:"pretokenizers"`
	Processors    []json.RawMessage `json:"processors"`

	Pattern          jsonPattern `json:"pattern"` // Split
	Behavior         string      `json:"behavior"`
	Invert           bool        `json:"invert"`
	IndividualDigits bool        `json:"individual_digits"` // Digits
	AddPrefixSpace   bool        `json:"add_prefix_space"`  // ByteLevel
	UseRegex         *bool       `json:"use_regex"`         // ByteLevel; absent means true

	Single []struct { // TemplateProcessing
		SpecialToken *struct {
			ID string `json:"id"`
		} `json:"SpecialToken"`
	} `json:"single"`
}

type jsonPattern struct {
	Regex  string `json:"Regex"`
	String string `json:"String"`
}

// readParts flattens sequences; null has no parts.
func readParts(field string, raw json.RawMessage, depth int) ([]jsonPart, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	if depth > 8 {
		return nil, fmt.Errorf("%s: sequences nested more than 8 deep", field)
	}
	var p jsonPart
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	if p.Type != "Sequence" {
		return []jsonPart{p}, nil
	}
	var all []jsonPart
	for _, list := range [][]json.RawMessage{p.Normalizers, p.PreTokenizers, p.Processors} {
		for _, inner := range list {
			parts, err := readParts(field, inner, depth+1)
			if err != nil {
				return nil, err
			}
			all = append(all, parts...)
		}
	}
	return all, nil
}

// readNormalizer reports whether text is normalised to NFC.
func readNormalizer(raw json.RawMessage) (nfc bool, err error) {
	parts, err := readParts("normalizer", raw, 0)
	if err != nil {
		return false, err
	}
	for _, p := range parts {
		if p.Type != "NFC" {
			return false, fmt.Errorf("normalizer %q is not supported; supported are none and NFC", p.Type)
		}
		nfc = true
	}
	return nfc, nil
}

// readPreTokenizer recognises the pipelines of preTokenizers.
func readPreTokenizer(raw json.RawMessage) (string, preTokenizer, error) {
	parts, err := readParts("pre_tokenizer", raw, 0)
	if err != nil {
		return "", preTokenizer{}, err
	}
	refuse := func() (string, preTokenizer, error) {
		return "", preTokenizer{}, fmt.Errorf("pre_tokenizer %s is not supported; supported are ByteLevel (gpt-2), "+
			"Digits then ByteLevel (smollm), and Split then ByteLevel with the pattern of llama-bpe or qwen2", describe(parts))
	}
	if len(parts) == 0 || len(parts) > 2 {
		return refuse()
	}
	last := parts[len(parts)-1]
	ownRegex := last.UseRegex == nil || *last.UseRegex
	if last.Type != "ByteLevel" || last.AddPrefixSpace {
		return refuse()
	}
	if len(parts) == 1 {
		if !ownRegex {
			return refuse()
		}
		return preTokenizerFor("gpt-2")
	}
	first := parts[0]
	switch {
	case first.Type == "Digits" && first.IndividualDigits && ownRegex:
		return preTokenizerFor("smollm")
	case first.Type == "Split" && first.Behavior == "Isolated" && !first.Invert && !ownRegex && first.Pattern.Regex != "":
		for name, p := range preTokenizers {
			if p.regex == first.Pattern.Regex {
				return preTokenizerFor(name)
			}
		}
	}
	return refuse()
}

// describe names parts with all that tells them from the supported ones.
func describe(parts []jsonPart) string {
	if len(parts) == 0 {
		return "none"
	}
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.Type
		switch p.Type {
		case "Split":
			names[i] += fmt.Sprintf("(%q, %s, invert %v)", p.Pattern.Regex+p.Pattern.String, p.Behavior, p.Invert)
		case "Digits":
			names[i] += fmt.Sprintf("(individual_digits %v)", p.IndividualDigits)
		case "ByteLevel":
			names[i] += fmt.Sprintf("(use_regex %v, add_prefix_space %v)", p.UseRegex == nil || *p.UseRegex, p.AddPrefixSpace)
		}
	}
	return strings.Join(names, " then ")
}

// checkDecoder refuses decoders that are not byte-level.
func checkDecoder(raw json.RawMessage) error {
	parts, err := readParts("decoder", raw, 0)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if p.Type != "ByteLevel" {
			return fmt.Errorf("decoder %q is not supported; supported is ByteLevel", p.Type)
		}
	}
	return nil
}

// readPostProcessor reports whether plain text is to begin with a special token.
func readPostProcessor(raw json.RawMessage) (addBOS bool, err error) {
	parts, err := readParts("post_processor", raw, 0)
	if err != nil {
		return false, err
	}
	for _, p := range parts {
		switch p.Type {
		case "ByteLevel":
		case "TemplateProcessing":
			addBOS = addBOS || len(p.Single) > 0 && p.Single[0].SpecialToken != nil
		default:
			return false, fmt.Errorf("post_processor %q is not supported; supported are ByteLevel and TemplateProcessing", p.Type)
		}
	}
	return addBOS, nil
}
