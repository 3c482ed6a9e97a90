package openai

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// wellFormed refuses text that Go's decoder would change in silence: bytes that
// are no UTF-8, and escapes of half a character.
func wellFormed(body []byte) error {
	if !utf8.Valid(body) {
		return refused("", "the body is not valid UTF-8")
	}
	for at := 0; ; {
		i := bytes.IndexByte(body[at:], '\\')
		if i < 0 {
			return nil
		}
		at += i
		first := escaped(body[at:])
		switch {
		case first < 0:
			at += 2 // another escape, or none: the decoder says so
			if at > len(body) {
				return nil
			}
		case !utf16.IsSurrogate(first):
			at += 6
		case utf16.DecodeRune(first, escaped(body[at+6:])) == utf8.RuneError:
			return refused("", "%s at byte %d is half of a character: the other half does not follow", body[at:at+6], at+1)
		default:
			at += 12
		}
	}
}

// escaped returns the value of the \uXXXX that b begins with, -1 for none.
func escaped(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

// twice returns a name that an object has twice. The body is JSON.
func twice(body []byte) (name string, is bool) {
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return "", false
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return "", false
		}
		if seen[name] {
			return name, true
		}
		seen[name] = true
		var skipped json.RawMessage
		if d.Decode(&skipped) != nil {
			return "", false
		}
	}
	return "", false
}
