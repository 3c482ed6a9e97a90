package curate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"dlm"
)

// shapePreference reads a pair of answers: prompt, chosen and rejected as text or
// as lists of turns; or chosen and rejected alone, whole conversations or texts,
// whose common beginning is the prompt (TRL's implicit prompt).
func shapePreference(obj object) (dlm.Row, *RowError) {
	const want = "text, or a list of turns"
	for _, f := range []string{"chosen", "rejected"} {
		if _, ok := obj.fields[f]; !ok {
			return dlm.Row{}, missing(obj, f, want)
		}
	}
	chosen, rejected := obj.fields["chosen"], obj.fields["rejected"]
	if isList(chosen) != isList(rejected) {
		return dlm.Row{}, &RowError{Field: "rejected", Problem: fmt.Sprintf("chosen is %s and rejected is %s", kindOf(chosen), kindOf(rejected)), Expected: "both text, or both lists of turns"}
	}
	prompt, explicit := obj.fields["prompt"]
	if !isList(chosen) {
		return preferenceTexts(obj, explicit)
	}
	c, _, e := turns(chosen, "chosen", "role", "content")
	if e != nil {
		return dlm.Row{}, e
	}
	r, _, e := turns(rejected, "rejected", "role", "content")
	if e != nil {
		return dlm.Row{}, e
	}
	// A prompt in plain text beside conversations repeats their first turn.
	if !explicit || !isList(prompt) {
		return implicitPair(c, r)
	}
	p, _, e := turns(prompt, "prompt", "role", "content")
	if e != nil {
		return dlm.Row{}, e
	}
	if e := oneAnswer("prompt", p, "chosen", c); e != nil {
		return dlm.Row{}, e
	}
	if e := oneAnswer("prompt", p, "rejected", r); e != nil {
		return dlm.Row{}, e
	}
	return dlm.Row{Messages: append(p, c...), TrainFrom: len(p), Rejected: r}, nil
}

func isList(raw json.RawMessage) bool { return bytes.HasPrefix(bytes.TrimSpace(raw), []byte("[")) }

// oneAnswer wants a prompt, and one assistant turn as its answer: of several, the
// turns in between would be taken for the model's.
func oneAnswer(promptField string, prompt []dlm.Message, field string, answer []dlm.Message) *RowError {
	switch {
	case len(prompt) == 0:
		return &RowError{Field: promptField, Problem: "has no turns", Expected: "at least one"}
	case len(answer) != 1 || answer[0].Role != "assistant":
		roles := make([]string, len(answer))
		for i, m := range answer {
			roles[i] = m.Role
		}
		return &RowError{Field: field, Problem: "answers with the turns [" + strings.Join(roles, ", ") + "]", Expected: "one assistant turn", Next: "put the turns before it into the prompt"}
	}
	return nil
}

// implicitPair takes the turns that two conversations begin with alike as prompt.
func implicitPair(c, r []dlm.Message) (dlm.Row, *RowError) {
	n := 0
	for n < min(len(c), len(r)) && c[n] == r[n] {
		n++
	}
	n = min(n, len(c)-1, len(r)-1) // equal conversations: Check says what is wrong with them
	if n < 1 {
		return dlm.Row{}, &RowError{Field: "chosen", Problem: "has no turn in common with rejected that could be their prompt", Expected: "conversations that differ in their last turn", Next: "or give prompt, chosen and rejected apart"}
	}
	if e := oneAnswer("chosen", c[:n], "chosen", c[n:]); e != nil {
		return dlm.Row{}, e
	}
	if e := oneAnswer("rejected", r[:n], "rejected", r[n:]); e != nil {
		return dlm.Row{}, e
	}
	return dlm.Row{Messages: c, TrainFrom: n, Rejected: slices.Clone(r[n:])}, nil
}

// preferenceTexts reads texts, which no template is applied to.
func preferenceTexts(obj object, explicit bool) (dlm.Row, *RowError) {
	var row dlm.Row
	var e *RowError
	if row.RawCompletion, e = text(obj, "chosen"); e != nil {
		return dlm.Row{}, e
	}
	if row.RawRejected, e = text(obj, "rejected"); e != nil {
		return dlm.Row{}, e
	}
	if explicit {
		if row.RawPrompt, e = text(obj, "prompt"); e != nil {
			return row, e
		}
		return row, someText(row)
	}
	n := commonText(row.RawCompletion, row.RawRejected)
	if n == 0 {
		return dlm.Row{}, &RowError{Field: "chosen", Problem: "has no beginning in common with rejected that could be their prompt", Expected: "texts that begin alike", Next: "or give prompt, chosen and rejected apart"}
	}
	row.RawPrompt, row.RawCompletion, row.RawRejected = row.RawCompletion[:n], row.RawCompletion[n:], row.RawRejected[n:]
	return row, someText(row)
}

// someText refuses pairs of which a part is empty: without a rejected answer a
// row is not a pair any more.
func someText(r dlm.Row) *RowError {
	for _, f := range []struct{ name, text string }{{"prompt", r.RawPrompt}, {"chosen", r.RawCompletion}, {"rejected", r.RawRejected}} {
		if f.text == "" {
			return &RowError{Field: f.name, Problem: "is empty", Expected: "text"}
		}
	}
	return nil
}

// commonText is how many bytes two texts begin with alike, up to the start of a
// word: a prompt does not end in the middle of one, nor with the space before it.
func commonText(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	boundary := func(i int) bool {
		return i == 0 || i < len(a) && (a[i] == ' ' || a[i] == '\n') || i > 0 && a[i-1] == '\n'
	}
	for n > 0 && !boundary(n) {
		n--
	}
	return n
}

// shapeLabelled reads an answer with a label that says whether people liked it.
func shapeLabelled(obj object) (dlm.Row, *RowError) {
	raw, ok := obj.fields["label"]
	if !ok {
		return dlm.Row{}, missing(obj, "label", "true or false")
	}
	var label bool
	if json.Unmarshal(raw, &label) != nil {
		return dlm.Row{}, &RowError{Field: "label", Problem: "is " + excerpt(raw, 20), Expected: "true (liked) or false"}
	}
	row, e := shapePromptCompletion(obj)
	if e != nil {
		return dlm.Row{}, e
	}
	if len(row.Messages) > 0 {
		if e := oneAnswer("prompt", row.Messages[:row.TrainFrom], "completion", row.Messages[row.TrainFrom:]); e != nil {
			return dlm.Row{}, e
		}
	}
	row.Label = &label
	return row, nil
}

// shapePrompt reads a prompt alone.
func shapePrompt(obj object) (dlm.Row, *RowError) {
	raw, ok := obj.fields["prompt"]
	if !ok {
		return dlm.Row{}, missing(obj, "prompt", "text or a list of turns")
	}
	if !isList(raw) {
		p, e := text(obj, "prompt")
		return dlm.Row{RawPrompt: p}, e
	}
	msgs, _, e := turns(raw, "prompt", "role", "content")
	if e != nil {
		return dlm.Row{}, e
	}
	if n := len(msgs); n == 0 || msgs[n-1].Role == "assistant" {
		return dlm.Row{}, &RowError{Field: "prompt", Problem: "does not end with a turn that could be answered", Expected: "turns that end with the user's"}
	}
	return dlm.Row{Messages: msgs, TrainFrom: len(msgs)}, nil
}
