package curate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Format is the shape of a row.
type Format string

// The shapes that can be read.
const (
	Messages         Format = "messages"          // OpenAI and TRL: {"messages": [{role, content}]}
	PromptCompletion Format = "prompt-completion" // TRL: text (no template) or lists of messages
	Text             Format = "text"              // TRL: {"text": ...}, no template
	Preference       Format = "preference"        // TRL: chosen and rejected, with a prompt or beginning alike (dpo, orpo)
	Labelled         Format = "labelled"          // TRL: prompt, completion and label, true or false (kto)
	PromptOnly       Format = "prompt"            // TRL: prompt alone (grpo)
	Alpaca           Format = "alpaca"            // instruction, input, output
	ShareGPT         Format = "sharegpt"          // {"conversations": [{from, value}]}
	Pairs            Format = "pairs"             // two columns, such as question and answer
)

// Formats lists the shapes that can be read.
var Formats = []Format{Messages, PromptCompletion, Text, Preference, Labelled, PromptOnly, Alpaca, ShareGPT, Pairs}

// Detection says what a file is, and why.
type Detection struct {
	File       string    `json:"file"`
	Container  Container `json:"container"`
	Format     Format    `json:"format"`
	Prompt     string    `json:"prompt_field,omitempty"`     // for pairs
	Completion string    `json:"completion_field,omitempty"` // for pairs
	Fields     []string  `json:"fields"`                     // of the first rows
	Evidence   []string  `json:"evidence"`                   // one sentence each
	Looked     int       `json:"looked"`                     // rows looked at
}

// String is one line for a person.
func (d Detection) String() string {
	s := fmt.Sprintf("%s, %s", d.Format, strings.ToUpper(string(d.Container)))
	if d.Format == Pairs {
		s += fmt.Sprintf(" (prompt %q, completion %q)", d.Prompt, d.Completion)
	}
	return s
}

// promptNames and completionNames are the column names known for pairs, the
// plainest first.
var (
	promptNames     = []string{"prompt", "question", "query", "instruction", "input", "user", "utterance", "message", "request", "text", "sentence", "context"}
	completionNames = []string{"completion", "answer", "response", "output", "assistant", "reply", "target", "label", "category", "intent", "summary", "code", "sql"}
)

const looked = 50

// Detect looks at the first rows of a file and says which shape they have.
func Detect(path string) (Detection, error) { return detect(path, Options{}) }

func detect(path string, o Options) (Detection, error) {
	d := Detection{File: path}
	var objects []object
	var first *RowError
	c, err := readRecords(path, func(r record) bool {
		if r.err != nil {
			if first == nil {
				first = r.err
			}
		} else if obj, err := parseObject(r.raw); err == nil {
			objects = append(objects, obj)
		}
		return len(objects) < looked
	})
	d.Container = c
	if err != nil && len(objects) == 0 {
		return d, err
	}
	if len(objects) == 0 {
		if first != nil {
			return d, first
		}
		return d, &RowError{File: path, Problem: "holds no rows", Expected: "JSONL, JSON, CSV or TSV with at least one row"}
	}
	d.Looked = len(objects)
	for _, obj := range objects {
		for _, k := range obj.keys {
			if !slices.Contains(d.Fields, k) && len(d.Fields) < 64 {
				d.Fields = append(d.Fields, k)
			}
		}
	}
	return d, d.decide(objects, o)
}

// decide sets Format and its evidence from the fields of the first rows.
func (d *Detection) decide(objects []object, o Options) error {
	all := func(keys ...string) bool {
		n := 0
		for _, obj := range objects {
			if !slices.ContainsFunc(keys, func(k string) bool { return obj.fields[k] == nil }) {
				n++
			}
		}
		return 2*n >= len(objects) // a few broken rows do not hide the shape
	}
	lists := func(k string) bool { v := bytes.TrimSpace(objects[0].fields[k]); return len(v) > 0 && v[0] == '[' }
	say := func(f Format, format string, a ...any) error {
		d.Format = f
		d.Evidence = append(d.Evidence, fmt.Sprintf(format, a...))
		return nil
	}
	table := d.Container == CSV || d.Container == TSV
	switch {
	case o.Prompt != "" || o.Completion != "":
		return d.decidePairs(o)
	case all("chosen", "rejected"):
		if all("prompt") {
			return say(Preference, "every row has prompt, chosen and rejected: preference pairs (TRL), for train.method dpo or orpo")
		}
		return say(Preference, "every row has chosen and rejected: preference pairs whose common beginning is the prompt (TRL), for train.method dpo or orpo")
	case all("messages", "target"), all("prompt", "target") && !all("completion"):
		return d.refuse("is a golden set (it has targets): it is never trained on", "name it under golden in dlm.yaml")
	case all("messages"):
		return say(Messages, "every row has messages: a list of turns with role and content (OpenAI, TRL)")
	case all("conversations"):
		return say(ShareGPT, "every row has conversations: a list of turns with from and value (ShareGPT)")
	case all("prompt", "completion", "label") && boolLabel(objects[0]) && !table:
		return say(Labelled, "every row has prompt, completion and a label, true or false: unpaired preferences (TRL), for train.method kto")
	case all("prompt", "completion") && !table:
		if lists("prompt") {
			return say(PromptCompletion, "every row has prompt and completion as lists of turns (TRL conversational): the completion's turns are trained")
		}
		return say(PromptCompletion, "every row has prompt and completion as text (TRL): no chat template is applied; use messages to have it applied")
	case all("instruction", "output"):
		return say(Alpaca, "every row has instruction and output (Alpaca)%s", map[bool]string{true: " and some have input"}[d.has("input")])
	}
	if d.decidePairs(o) == nil {
		return nil
	}
	if all("prompt") && onlyPrompt(d.Fields) {
		return say(PromptOnly, "every row has a prompt alone (TRL), for train.method grpo")
	}
	if all("text") {
		return say(Text, "every row has text: trained as it stands, without a template")
	}
	if lists := listFields(objects); len(objects) == 1 && len(lists) > 0 {
		return d.refuse("is one JSON object with arrays under "+strings.Join(lists, ", "), "save the array of rows alone")
	}
	shown := d.Fields
	if len(shown) > 12 {
		shown = append(shown[:12:12], fmt.Sprintf("and %d more", len(d.Fields)-12))
	}
	return d.refuse("has fields "+strings.Join(shown, ", ")+", none of which name a prompt and a completion",
		"say which they are: --prompt and --completion of dlm init, data.prompt and data.completion in dlm.yaml, or rename them to prompt and completion")
}

// listFields names the fields of the first object that hold arrays.
func listFields(objects []object) []string {
	var out []string
	for _, k := range objects[0].keys {
		if v := bytes.TrimSpace(objects[0].fields[k]); v[0] == '[' {
			out = append(out, fmt.Sprintf("%q", k))
		}
	}
	return out
}

// onlyPrompt reports whether rows have nothing but a prompt, and what any row may have.
func onlyPrompt(fields []string) bool {
	return !slices.ContainsFunc(fields, func(f string) bool { return !slices.Contains([]string{"prompt", "id", "tags", "cluster"}, f) })
}

func boolLabel(o object) bool {
	v := string(bytes.TrimSpace(o.fields["label"]))
	return v == "true" || v == "false"
}

func (d *Detection) has(field string) bool { return slices.Contains(d.Fields, field) }

func (d *Detection) refuse(problem, next string) error {
	return &RowError{File: d.File, Problem: problem,
		Expected: "messages; prompt and completion; text; instruction and output (Alpaca); conversations (ShareGPT); or two columns such as question and answer", Next: next}
}

// decidePairs finds the two columns, or takes those that were named.
func (d *Detection) decidePairs(o Options) error {
	pick := func(given string, names []string, not string) string {
		if given != "" {
			return given
		}
		for _, n := range names {
			for _, f := range d.Fields {
				if strings.EqualFold(f, n) && f != not {
					return f
				}
			}
		}
		return ""
	}
	p := pick(o.Prompt, promptNames, o.Completion)
	c := pick(o.Completion, completionNames, p)
	if p == "" || c == "" {
		return fmt.Errorf("no pair")
	}
	for _, f := range []string{p, c} {
		if !d.has(f) {
			return &RowError{File: d.File, Field: f, Problem: "no row has this field", Expected: "one of " + strings.Join(d.Fields, ", ")}
		}
	}
	d.Format, d.Prompt, d.Completion = Pairs, p, c
	how := "by their names"
	if o.Prompt != "" || o.Completion != "" {
		how = "as asked"
	}
	d.Evidence = append(d.Evidence, fmt.Sprintf("%q is the prompt and %q the completion, %s; both become turns of a conversation", p, c, how))
	return nil
}

// object is a JSON object with its keys in order.
type object struct {
	keys   []string
	fields map[string]json.RawMessage
}

// parseObject reads an object and refuses a key that comes twice, of which
// encoding/json would silently keep the last.
func parseObject(raw []byte) (object, error) {
	o := object{fields: map[string]json.RawMessage{}}
	d := json.NewDecoder(bytes.NewReader(raw))
	if _, err := d.Token(); err != nil {
		return o, err
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return o, err
		}
		k, ok := t.(string)
		if !ok {
			return o, fmt.Errorf("expected a field name, found %v", t)
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return o, err
		}
		if _, twice := o.fields[k]; twice {
			return o, fmt.Errorf("field %q comes twice", k)
		}
		if string(v) == "null" {
			continue // as if it were not there
		}
		o.keys = append(o.keys, k)
		o.fields[k] = v
	}
	return o, nil
}
