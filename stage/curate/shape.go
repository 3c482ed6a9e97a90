package curate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"dlm"
)

// shape reads one object as a row of the detected format.
func shape(obj object, det Detection) (dlm.Row, *RowError) {
	switch det.Format {
	case Messages:
		return shapeMessages(obj, "messages", "role", "content")
	case ShareGPT:
		from, value := "from", "value"
		if !bytes.Contains(obj.fields["conversations"], []byte(`"from"`)) {
			from, value = "role", "content"
		}
		row, e := shapeMessages(obj, "conversations", from, value)
		if e != nil {
			return row, e
		}
		return prependSystem(obj, row)
	case PromptCompletion:
		return shapePromptCompletion(obj)
	case Preference:
		return shapePreference(obj)
	case Labelled:
		return shapeLabelled(obj)
	case PromptOnly:
		return shapePrompt(obj)
	case Text:
		s, e := text(obj, "text")
		return dlm.Row{RawCompletion: s}, e
	case Alpaca:
		return shapeAlpaca(obj)
	case Pairs:
		return shapePair(obj, det.Prompt, det.Completion)
	}
	return dlm.Row{}, &RowError{Problem: fmt.Sprintf("format %q is not known", det.Format), Expected: fmt.Sprint(Formats)}
}

func shapeMessages(obj object, list, role, content string) (dlm.Row, *RowError) {
	raw, ok := obj.fields[list]
	if !ok {
		return dlm.Row{}, missing(obj, list, "a list of turns")
	}
	msgs, from, e := turns(raw, list, role, content)
	return dlm.Row{Messages: msgs, TrainFrom: from}, e
}

// roles maps the names that files use to ours.
var roles = map[string]string{
	"system": "system", "user": "user", "assistant": "assistant",
	"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant",
}

// turns reads a list of messages. Its second result is the index from which
// assistant turns are trained, as OpenAI's weight field says.
func turns(raw json.RawMessage, list, role, content string) ([]dlm.Message, int, *RowError) {
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil {
		return nil, 0, &RowError{Field: list, Problem: "is " + kindOf(raw), Expected: "a list of turns"}
	}
	msgs := make([]dlm.Message, len(items))
	trained, untrained := -1, -1 // first trained, last untrained assistant turn
	for i, it := range items {
		at := fmt.Sprintf("%s[%d]", list, i)
		if it = bytes.TrimSpace(it); it[0] != '{' {
			return nil, 0, &RowError{Field: at, Problem: "is " + kindOf(it), Expected: fmt.Sprintf("an object with %s and %s", role, content)}
		}
		turn, err := parseObject(it)
		if err != nil {
			return nil, 0, &RowError{Field: at, Problem: err.Error(), Expected: "each field once"}
		}
		m, weight, e := message(turn, role, content)
		if e != nil {
			e.Field = at + "." + e.Field
			return nil, 0, e
		}
		msgs[i] = m
		if m.Role != "assistant" {
			continue
		}
		if weight && trained < 0 {
			trained = i
		} else if !weight {
			untrained = i
		}
	}
	switch {
	case untrained < 0:
		return msgs, 0, nil
	case trained < 0:
		return msgs, len(msgs), nil
	case trained < untrained:
		return nil, 0, &RowError{Field: fmt.Sprintf("%s[%d].weight", list, untrained), Problem: "is 0 after a turn that is trained", Expected: "turns with weight 0 before all others",
			Next: "split the conversation into rows that end with the turn to train"}
	}
	return msgs, trained, nil
}

// message reads one turn; weight is false when OpenAI's weight field is 0.
func message(turn object, role, content string) (m dlm.Message, weight bool, e *RowError) {
	name, e := text(turn, role)
	if e != nil {
		return m, false, e
	}
	if m.Role = roles[strings.ToLower(name)]; m.Role == "" {
		return m, false, &RowError{Field: role, Problem: fmt.Sprintf("%q is not known", name), Expected: "system, user or assistant",
			Next: "tool and function turns cannot be trained on yet: leave such conversations out"}
	}
	for _, f := range []string{"tool_calls", "function_call"} {
		if _, ok := turn.fields[f]; ok {
			return m, false, &RowError{Field: f, Problem: "tool calls cannot be trained on yet", Expected: "plain turns", Next: "leave such conversations out"}
		}
	}
	weight = true
	if w, ok := turn.fields["weight"]; ok {
		switch strings.TrimSuffix(string(w), ".0") {
		case "0":
			weight = false
		case "1":
		default:
			return m, false, &RowError{Field: "weight", Problem: "is " + excerpt(w, 20), Expected: "0 or 1"}
		}
	}
	raw, ok := turn.fields[content]
	if !ok {
		return m, weight, missing(turn, content, "text")
	}
	if raw[0] == '[' {
		m.Content, e = parts(raw, content)
		return m, weight, e
	}
	m.Content, e = text(turn, content)
	return m, weight, e
}

// parts joins OpenAI's list of text parts.
func parts(raw json.RawMessage, field string) (string, *RowError) {
	var items []struct{ Type, Text string }
	if err := json.Unmarshal(raw, &items); err != nil {
		return "", &RowError{Field: field, Problem: "is not a list of parts", Expected: `text, or [{"type":"text","text":...}]`}
	}
	var b strings.Builder
	for i, p := range items {
		if p.Type != "text" {
			return "", &RowError{Field: fmt.Sprintf("%s[%d].type", field, i), Problem: fmt.Sprintf("%q cannot be trained on", p.Type), Expected: `"text"`}
		}
		b.WriteString(p.Text)
	}
	return b.String(), nil
}

func shapePromptCompletion(obj object) (dlm.Row, *RowError) {
	p, okP := obj.fields["prompt"]
	c, okC := obj.fields["completion"]
	switch {
	case !okP:
		return dlm.Row{}, missing(obj, "prompt", "text or a list of turns")
	case !okC:
		return dlm.Row{}, missing(obj, "completion", "text or a list of turns")
	case p[0] == '[' && c[0] == '[':
		prompt, _, e := turns(p, "prompt", "role", "content")
		if e != nil {
			return dlm.Row{}, e
		}
		completion, _, e := turns(c, "completion", "role", "content")
		if e != nil {
			return dlm.Row{}, e
		}
		return dlm.Row{Messages: append(prompt, completion...), TrainFrom: len(prompt)}, nil
	case p[0] == '[' || c[0] == '[':
		return dlm.Row{}, &RowError{Field: "completion", Problem: fmt.Sprintf("prompt is %s and completion is %s", kindOf(p), kindOf(c)), Expected: "both text, or both lists of turns"}
	}
	prompt, e := text(obj, "prompt")
	if e != nil {
		return dlm.Row{}, e
	}
	completion, e := text(obj, "completion")
	return dlm.Row{RawPrompt: prompt, RawCompletion: completion}, e
}

// shapeAlpaca makes one user turn of instruction and input, after the turns of
// history where a row has them.
func shapeAlpaca(obj object) (dlm.Row, *RowError) {
	instruction, e := text(obj, "instruction")
	if e != nil {
		return dlm.Row{}, e
	}
	input, e := optionalText(obj, "input")
	if e != nil {
		return dlm.Row{}, e
	}
	output, e := text(obj, "output")
	if e != nil {
		return dlm.Row{}, e
	}
	if strings.TrimSpace(input) != "" {
		instruction += "\n\n" + input
	}
	var row dlm.Row
	if h, ok := obj.fields["history"]; ok {
		var pairs [][2]string
		if json.Unmarshal(h, &pairs) != nil {
			return row, &RowError{Field: "history", Problem: "is not a list of pairs", Expected: `[["prompt","completion"], ...]`}
		}
		for _, p := range pairs {
			row.Messages = append(row.Messages, dlm.Message{Role: "user", Content: p[0]}, dlm.Message{Role: "assistant", Content: p[1]})
		}
	}
	row.TrainFrom = len(row.Messages)
	row.Messages = append(row.Messages, dlm.Message{Role: "user", Content: instruction}, dlm.Message{Role: "assistant", Content: output})
	return prependSystem(obj, row)
}

func shapePair(obj object, prompt, completion string) (dlm.Row, *RowError) {
	p, e := scalar(obj, prompt)
	if e != nil {
		return dlm.Row{}, e
	}
	c, e := scalar(obj, completion)
	if e != nil {
		return dlm.Row{}, e
	}
	return prependSystem(obj, dlm.Row{Messages: []dlm.Message{{Role: "user", Content: p}, {Role: "assistant", Content: c}}})
}

// prependSystem puts the object's own system text before the turns.
func prependSystem(obj object, row dlm.Row) (dlm.Row, *RowError) {
	s, e := optionalText(obj, "system")
	if e != nil {
		return row, e
	}
	return withSystem(row, s), nil
}

// text reads a field that must be text.
func text(obj object, field string) (string, *RowError) {
	raw, ok := obj.fields[field]
	if !ok {
		return "", missing(obj, field, "text")
	}
	s, ok := asText(raw)
	if !ok {
		return "", &RowError{Field: field, Problem: "is " + kindOf(raw), Expected: "text", Next: "put it in quotes; a record as completion is its JSON as text"}
	}
	if strings.ContainsRune(s, '\ufffd') && !bytes.Contains(raw, []byte("\ufffd")) && !bytes.Contains(bytes.ToLower(raw), []byte(`\ufffd`)) {
		return "", &RowError{Field: field, Problem: `has half of a surrogate pair (\ud800 to \udfff alone)`, Expected: "whole characters"}
	}
	return s, nil
}

// scalar is text, or a number or truth value as it stands.
func scalar(obj object, field string) (string, *RowError) {
	if raw, ok := obj.fields[field]; ok && raw[0] != '"' && raw[0] != '{' && raw[0] != '[' {
		return string(raw), nil
	}
	return text(obj, field)
}

func optionalText(obj object, field string) (string, *RowError) {
	if _, ok := obj.fields[field]; !ok {
		return "", nil
	}
	return scalar(obj, field)
}

func rowTags(obj object) ([]string, *RowError) {
	raw, ok := obj.fields["tags"]
	if !ok {
		return nil, nil
	}
	var tags []string
	if json.Unmarshal(raw, &tags) == nil {
		return tags, nil
	}
	if s, ok := asText(raw); ok {
		return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ';' }), nil
	}
	return nil, &RowError{Field: "tags", Problem: "is " + kindOf(raw), Expected: "a list of texts"}
}

func asText(raw json.RawMessage) (string, bool) {
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	return s, true
}

// missing says that a field is not there, and which similar one is.
func missing(obj object, field, expected string) *RowError {
	e := &RowError{Field: field, Problem: "is missing", Expected: expected}
	if len(obj.keys) > 0 {
		keys := slices.Clone(obj.keys)
		e.Next = "this row has " + strings.Join(keys[:min(len(keys), 8)], ", ")
	}
	return e
}

func kindOf(raw json.RawMessage) string {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return "nothing"
	}
	switch raw[0] {
	case '"':
		return "text"
	case '{':
		return "an object"
	case '[':
		return "a list"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}
