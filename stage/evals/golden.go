package evals

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"dlm"
)

// maxGoldenLine is the longest line of a golden set, in bytes.
const maxGoldenLine = 16 << 20

// maxProblems is how many problems of one file are told at once.
const maxProblems = 10

// goldenFields are the fields an item may have.
var goldenFields = []string{"id", "messages", "prompt", "target", "tags", "cluster", "choices"}

// ReadGolden reads a golden set: JSON Lines, one item each, with
//
//	id        a stable name, unique in the file
//	messages  the conversation up to the question, or
//	prompt    the question alone, as text
//	target    the right completion: text, or a JSON value that is kept as compact JSON
//	choices   candidates, for choice by log-likelihood; the target must be one of them
//	tags      labels to report by
//	cluster   items that share it are not independent
//
// Errors name file, line and field, up to ten at once.
func ReadGolden(path string) ([]dlm.Item, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("golden set: %w", err)
	}
	defer f.Close()
	return ParseGolden(path, f)
}

// ParseGolden is ReadGolden on a stream; name stands in its errors.
func ParseGolden(name string, r io.Reader) ([]dlm.Item, error) {
	var (
		items    []dlm.Item
		problems []error
		ids      = map[string]int{} // id -> line
		prompts  = map[string]int{} // whole conversation -> line
		br       = bufio.NewReaderSize(r, 1<<16)
	)
	for line := 1; ; line++ {
		raw, err := readLine(br)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s:%d: %w", name, line, err)
		}
		last := errors.Is(err, io.EOF)
		if line == 1 {
			raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
		}
		if raw = bytes.TrimSpace(raw); len(raw) > 0 {
			item, err := parseItem(raw)
			if err == nil {
				item.Line = line
				err = checkUnique(item, ids, prompts)
			}
			if err != nil {
				problems = append(problems, fmt.Errorf("%s:%d: %w", name, line, err))
			}
			items = append(items, item)
		}
		if last || len(problems) == maxProblems {
			break
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("%s: no items; a golden set has one JSON object a line with id, prompt (or messages) and target", name)
	}
	return items, nil
}

// readLine returns one line without its end; err is io.EOF at the last one.
func readLine(br *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := br.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxGoldenLine {
			return nil, fmt.Errorf("line longer than %d MiB; is this JSON Lines (one object a line)?", maxGoldenLine>>20)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimRight(line, "\r\n"), err
		}
	}
}

// checkUnique refuses an item whose id or conversation stood before: it would
// be counted twice as if it were evidence.
func checkUnique(item dlm.Item, ids, prompts map[string]int) error {
	if at, ok := ids[item.ID]; ok {
		return fmt.Errorf("id %q: already used in line %d; give each item its own", item.ID, at)
	}
	ids[item.ID] = item.Line
	key, err := json.Marshal(item.Messages)
	if err != nil {
		return err
	}
	if at, ok := prompts[string(key)]; ok {
		return fmt.Errorf("item %q: the same prompt already stands in line %d; remove one of the two", item.ID, at)
	}
	prompts[string(key)] = item.Line
	return nil
}

// parseItem reads one line.
func parseItem(raw []byte) (dlm.Item, error) {
	var item dlm.Item
	if !utf8.Valid(raw) {
		return item, errors.New("not UTF-8; convert the file, for example with iconv")
	}
	fields, err := objectFields(raw)
	if err != nil {
		return item, err
	}
	for key := range fields {
		if !slices.Contains(goldenFields, key) {
			return item, fmt.Errorf("field %q: unknown; expected one of %s", key, strings.Join(goldenFields, ", "))
		}
	}
	if err := stringField(fields, "id", &item.ID); err != nil {
		return item, err
	}
	if strings.TrimSpace(item.ID) == "" {
		return item, errors.New(`field "id": missing or empty; give each item a stable name, it pairs the arms' answers`)
	}
	if err := parsePrompt(fields, &item); err != nil {
		return item, err
	}
	if err := parseTarget(fields, &item); err != nil {
		return item, err
	}
	for key, to := range map[string]*[]string{"tags": &item.Tags, "choices": &item.Choices} {
		if v, ok := fields[key]; ok && string(v) != "null" {
			if err := json.Unmarshal(v, to); err != nil {
				return item, fmt.Errorf("field %q: expected a list of strings, found %s", key, excerpt(v))
			}
		}
	}
	if err := stringField(fields, "cluster", &item.Cluster); err != nil {
		return item, err
	}
	return item, checkChoices(item)
}

// parsePrompt reads messages or prompt; exactly one must be there.
func parsePrompt(fields map[string]json.RawMessage, item *dlm.Item) error {
	msgs, hasMsgs := fields["messages"]
	_, hasPrompt := fields["prompt"]
	switch {
	case hasMsgs && hasPrompt:
		return errors.New(`both "messages" and "prompt" are given; keep one`)
	case hasPrompt:
		var text string
		if err := stringField(fields, "prompt", &text); err != nil {
			return err
		}
		if strings.TrimSpace(text) == "" {
			return errors.New(`field "prompt": empty`)
		}
		item.Messages = []dlm.Message{{Role: "user", Content: text}}
		return nil
	case hasMsgs:
		return parseMessages(msgs, item)
	}
	return errors.New(`no prompt; give "prompt" (text) or "messages" (a conversation that ends with the user's turn)`)
}

// parseMessages reads a conversation that ends with a user's turn.
func parseMessages(raw json.RawMessage, item *dlm.Item) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&item.Messages); err != nil {
		return fmt.Errorf(`field "messages": expected a list of {"role", "content"}, found %s`, excerpt(raw))
	}
	for i, m := range item.Messages {
		if !slices.Contains([]string{"system", "user", "assistant"}, m.Role) {
			return fmt.Errorf(`field "messages[%d].role": %q; expected system, user or assistant`, i, m.Role)
		}
	}
	n := len(item.Messages)
	if n == 0 {
		return errors.New(`field "messages": empty`)
	}
	last := item.Messages[n-1]
	if last.Role == "assistant" {
		return errors.New(`field "messages": ends with an assistant turn; put the right completion into "target" and remove it here`)
	}
	if last.Role != "user" || strings.TrimSpace(last.Content) == "" {
		return errors.New(`field "messages": must end with a user's turn that is not empty`)
	}
	return nil
}

// parseTarget keeps text as it is and any other JSON value as compact JSON.
func parseTarget(fields map[string]json.RawMessage, item *dlm.Item) error {
	raw, ok := fields["target"]
	if !ok || string(raw) == "null" {
		return errors.New(`field "target": missing; write the right completion ("" only where no scorer needs it)`)
	}
	if raw[0] == '"' {
		return stringField(fields, "target", &item.Target)
	}
	var buf bytes.Buffer
	if err := json.Compact(&buf, raw); err != nil {
		return fmt.Errorf(`field "target": %w`, err)
	}
	item.Target = buf.String()
	return nil
}

// checkChoices refuses candidates that cannot be chosen between.
func checkChoices(item dlm.Item) error {
	if item.Choices == nil {
		return nil
	}
	seen := map[string]bool{}
	for _, c := range item.Choices {
		if c == "" || seen[c] {
			return fmt.Errorf(`field "choices": %q is empty or stands twice`, c)
		}
		seen[c] = true
	}
	if len(item.Choices) < 2 {
		return errors.New(`field "choices": expected at least two`)
	}
	if !seen[item.Target] {
		return fmt.Errorf(`field "choices": the target %q is not among them`, item.Target)
	}
	return nil
}

// stringField reads an optional text field.
func stringField(fields map[string]json.RawMessage, key string, to *string) error {
	v, ok := fields[key]
	if !ok || string(v) == "null" {
		return nil
	}
	if err := json.Unmarshal(v, to); err != nil {
		return fmt.Errorf("field %q: expected text, found %s", key, excerpt(v))
	}
	return nil
}

// objectFields reads one JSON object and refuses a key that stands twice: the
// standard decoder would silently keep the last.
func objectFields(raw []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	tok, err := dec.Token()
	if err != nil {
		return nil, fmt.Errorf("not JSON (%w): %s", err, excerpt(raw))
	}
	if tok != json.Delim('{') {
		return nil, fmt.Errorf("expected a JSON object, found %s", excerpt(raw))
	}
	fields := map[string]json.RawMessage{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("not JSON (%w): %s", err, excerpt(raw))
		}
		key := tok.(string)
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return nil, fmt.Errorf("field %q: not JSON (%w)", key, err)
		}
		if _, twice := fields[key]; twice {
			return nil, fmt.Errorf("field %q: stands twice in the object; remove one", key)
		}
		fields[key] = v
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("not JSON (%w): %s", err, excerpt(raw))
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("more text after the object; expected one object a line: %s", excerpt(raw))
	}
	return fields, nil
}

// excerpt shortens text for an error, at a character's border.
func excerpt[T ~[]byte | ~string](v T) string {
	const most = 60
	s := string(v)
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "..."
}
