package dlm

import (
	"fmt"
	"strings"
)

// Methods are the ways to train an adapter that there are here. Which of them a
// trainer has, it says itself.
var Methods = []string{"sft", "cpt", "dpo", "kto", "orpo", "grpo"}

// RowKind says what a row teaches.
type RowKind string

// The kinds of rows.
const (
	RowAnswer   RowKind = "answer"   // a prompt with its answer: sft; grpo takes the answer as the target of its rewards
	RowText     RowKind = "text"     // plain text, all of it counts: cpt, sft
	RowPair     RowKind = "pair"     // a prompt with a chosen and a rejected answer: dpo, orpo
	RowLabelled RowKind = "labelled" // an answer, and whether people liked it: kto
	RowPrompt   RowKind = "prompt"   // a prompt alone: grpo
)

// Kind says what the row teaches.
func (r Row) Kind() RowKind {
	n := len(r.Messages)
	switch {
	case len(r.Rejected) > 0 || r.RawRejected != "":
		return RowPair
	case r.Label != nil:
		return RowLabelled
	case n > 0 && r.TrainFrom >= n && r.Messages[n-1].Role != "assistant", n == 0 && r.RawPrompt != "" && r.RawCompletion == "":
		return RowPrompt
	case n == 0 && r.RawPrompt == "":
		return RowText
	}
	return RowAnswer
}

// Side is one answer of a row, as a row of its own.
type Side struct {
	Name string // "chosen", "rejected"; empty for a row with one answer
	Row  Row
}

// Sides returns the answers of a row, each as a row that an Encoder takes: of a
// pair the chosen and the rejected one, else the row itself.
func (r Row) Sides() []Side {
	if r.Kind() != RowPair {
		return []Side{{Row: r}}
	}
	chosen, rejected := r, r
	chosen.Rejected, chosen.RawRejected = nil, ""
	rejected.Rejected, rejected.RawRejected = nil, ""
	if len(r.Messages) > 0 {
		rejected.Messages = append(append([]Message{}, r.Messages[:r.TrainFrom]...), r.Rejected...)
	} else {
		rejected.RawCompletion = r.RawRejected
	}
	return []Side{{"chosen", chosen}, {"rejected", rejected}}
}

// methodRows says which rows a method trains on, in its users' words.
var methodRows = map[string]struct {
	kinds []RowKind
	shape string
}{
	"sft":  {[]RowKind{RowAnswer, RowText}, "messages; prompt and completion; or text"},
	"cpt":  {[]RowKind{RowText}, "text"},
	"dpo":  {[]RowKind{RowPair}, "prompt, chosen and rejected"},
	"orpo": {[]RowKind{RowPair}, "prompt, chosen and rejected"},
	"kto":  {[]RowKind{RowLabelled}, "prompt, completion and label (true or false)"},
	"grpo": {[]RowKind{RowPrompt, RowAnswer}, "prompt; or prompt and completion, where a reward compares with a target"},
}

// kindMethods says what a row of a kind can be trained with.
var kindMethods = map[RowKind]string{
	RowAnswer: "sft (or grpo)", RowText: "cpt (or sft)", RowPair: "dpo or orpo", RowLabelled: "kto", RowPrompt: "grpo",
}

// what names a kind of row for people.
var kindNames = map[RowKind]string{
	RowAnswer: "a prompt with an answer", RowText: "plain text", RowPair: "a preference pair (chosen, rejected)",
	RowLabelled: "an answer with a label", RowPrompt: "a prompt alone",
}

// FitsMethod is nil when a method can train on the row; otherwise it says what
// the row is, what the method wants, and what to do. An empty method is sft.
func (r Row) FitsMethod(method string) error {
	if method == "" {
		method = "sft"
	}
	want, ok := methodRows[method]
	if !ok {
		return fmt.Errorf("method %q: expected one of %s", method, strings.Join(Methods, ", "))
	}
	kind := r.Kind()
	for _, k := range want.kinds {
		if k == kind {
			return nil
		}
	}
	return fmt.Errorf("it is %s, and method %s trains on rows with %s; train it with method %s, or keep such rows in a file of their own",
		kindNames[kind], method, want.shape, kindMethods[kind])
}

// CheckMethodRows refuses rows that a method cannot train on. what names the set
// of rows in errors: "training", "held-out".
func CheckMethodRows(method, what string, rows []Row) error {
	var bad []string
	var first error
	for i, r := range rows {
		if err := r.FitsMethod(method); err != nil {
			if first == nil {
				first = err
			}
			bad = append(bad, r.Where(i))
		}
	}
	if first == nil {
		return nil
	}
	return fmt.Errorf("%d of %d %s rows are not for this method (%s): of the first, %w", len(bad), len(rows), what, firstFive(bad), first)
}
