package openai

import (
	"bytes"
	"encoding/json"

	"dlm"
)

// asFault keeps an error of a decoder below that is a fault already.
func asFault(err error) error {
	if dlm.FaultOf(err) != "" {
		return err
	}
	return refused("", "invalid JSON: %v", err)
}

// first is the first byte of a JSON value.
func first(b []byte) byte {
	b = bytes.TrimLeft(b, " \t\r\n")
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

func isNull(b json.RawMessage) bool {
	return len(b) == 0 || bytes.Equal(bytes.TrimSpace(b), []byte("null"))
}

// Strings is a string or a list of them.
type Strings []string

// UnmarshalJSON reads either.
func (s *Strings) UnmarshalJSON(b []byte) error {
	switch first(b) {
	case 'n':
		*s = nil
		return nil
	case '"':
		var one string
		if err := json.Unmarshal(b, &one); err != nil {
			return err
		}
		*s = Strings{one}
		return nil
	case '[':
		return json.Unmarshal(b, (*[]string)(s))
	}
	return refused("", "expected a string or a list of strings")
}

// IDs are token ids. A null among them, which Go reads as 0, is refused.
type IDs []int32

// UnmarshalJSON reads a list of whole numbers.
func (t *IDs) UnmarshalJSON(b []byte) error {
	if first(b) != 'n' && bytes.Contains(b, []byte("null")) {
		return refused("", "null is no token id")
	}
	return json.Unmarshal(b, (*[]int32)(t))
}

// Text is one prompt: text, or token ids when IDs is not nil.
type Text struct {
	Text string
	IDs  []int32
}

// Texts is what "prompt" and "input" may be: a string, a list of strings, token
// ids, or a list of lists of those.
type Texts []Text

// UnmarshalJSON reads any of the four.
func (t *Texts) UnmarshalJSON(b []byte) error {
	*t = nil
	switch first(b) {
	case 'n':
		return nil
	case '"':
		var one string
		if err := json.Unmarshal(b, &one); err != nil {
			return err
		}
		*t = Texts{{Text: one}}
		return nil
	case '[':
	default:
		return refused("", "a prompt is a string, a list of strings, a list of token ids, or a list of such lists")
	}
	var all []json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	if len(all) == 0 {
		return nil
	}
	switch first(all[0]) {
	case '"':
		var texts []string
		if err := json.Unmarshal(b, &texts); err != nil {
			return err
		}
		for _, s := range texts {
			*t = append(*t, Text{Text: s})
		}
	case '[':
		var lists []IDs
		if err := json.Unmarshal(b, &lists); err != nil {
			return err
		}
		for _, ids := range lists {
			*t = append(*t, Text{IDs: some(ids)})
		}
	default:
		var ids IDs
		if err := json.Unmarshal(b, &ids); err != nil {
			return err
		}
		*t = Texts{{IDs: some(ids)}}
	}
	return nil
}

// some is never nil, so that no ids are told from no prompt of ids.
func some(ids IDs) []int32 {
	if ids == nil {
		return []int32{}
	}
	return ids
}
