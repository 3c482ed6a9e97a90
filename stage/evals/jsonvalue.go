package evals

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
)

// parseObject reads a JSON object. The whole text must be one, except with
// extract, which takes the first object found in it.
func parseObject(text string, extract bool) (map[string]any, error) {
	v, err := parseJSON(text, extract)
	if err != nil {
		return nil, err
	}
	obj, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("JSON, but no object: %s", excerpt(text))
	}
	return obj, nil
}

// parseJSON reads one JSON value; numbers stay exact.
func parseJSON(text string, extract bool) (any, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, errors.New("nothing was answered")
	}
	if !extract {
		return decodeWhole(text)
	}
	for at := strings.IndexByte(text, '{'); at >= 0; {
		var v any
		dec := json.NewDecoder(strings.NewReader(text[at:]))
		dec.UseNumber()
		if dec.Decode(&v) == nil {
			return v, nil
		}
		next := strings.IndexByte(text[at+1:], '{')
		if next < 0 {
			break
		}
		at += 1 + next
	}
	return nil, fmt.Errorf("no JSON object in: %s", excerpt(text))
}

func decodeWhole(text string) (any, error) {
	var v any
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("not JSON: %s", excerpt(text))
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("text after the JSON: %s", excerpt(text[dec.InputOffset():]))
	}
	return v, nil
}

// canonical writes a JSON value such that equal values give equal text: keys
// sorted, numbers in lowest terms (1, 1.0 and 1e0 are equal), no escapes that
// are not needed.
func canonical(v any) string {
	var b strings.Builder
	writeCanonical(&b, v)
	return b.String()
}

func writeCanonical(b *strings.Builder, v any) {
	switch v := v.(type) {
	case map[string]any:
		keys := sortedKeys(v)
		b.WriteByte('{')
		for i, k := range keys {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(quote(k))
			b.WriteByte(':')
			writeCanonical(b, v[k])
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			writeCanonical(b, e)
		}
		b.WriteByte(']')
	case json.Number:
		b.WriteString(canonicalNumber(v))
	case string:
		b.WriteString(quote(v))
	default: // true, false, null
		raw, _ := json.Marshal(v)
		b.Write(raw)
	}
}

// canonicalNumber keeps numbers exact; those with absurd exponents stay as
// written, since expanding them would take unbounded memory.
func canonicalNumber(n json.Number) string {
	s := n.String()
	if i := strings.IndexAny(s, "eE"); i >= 0 && len(s)-i > 5 {
		return s
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return s
	}
	digits, _ := r.FloatPrec() // a decimal is always exact
	return r.FloatString(digits)
}

func quote(s string) string {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	return strings.TrimSuffix(buf.String(), "\n")
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
