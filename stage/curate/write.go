package curate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"dlm"
)

// WriteRows writes rows as JSONL in TRL's shapes: messages; prompt and
// completion; text; prompt, chosen and rejected; prompt, completion and label;
// prompt. The bytes depend on the rows alone.
func WriteRows(w io.Writer, rows []dlm.Row) error {
	for _, r := range rows {
		b, err := EncodeRow(r)
		if err != nil {
			return err
		}
		if _, err := w.Write(append(b, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// EncodeRow writes one row as a JSON object.
func EncodeRow(r dlm.Row) ([]byte, error) {
	v, err := shaped(r)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// written is a row in any of the shapes, its fields in the order in which they
// are written.
type written struct {
	ID         string        `json:"id,omitempty"`
	Messages   []dlm.Message `json:"messages,omitempty"`
	Prompt     any           `json:"prompt,omitempty"` // text or turns, as the three that follow
	Completion any           `json:"completion,omitempty"`
	Chosen     any           `json:"chosen,omitempty"`
	Rejected   any           `json:"rejected,omitempty"`
	Text       *string       `json:"text,omitempty"`
	Label      *bool         `json:"label,omitempty"`
	Tags       []string      `json:"tags,omitempty"`
}

// shaped is the row in the shape of its kind.
func shaped(r dlm.Row) (written, error) {
	w := written{ID: r.ID, Tags: r.Tags, Label: r.Label}
	var answer any = r.RawCompletion
	w.Prompt = r.RawPrompt
	if len(r.Messages) > 0 {
		if r.TrainFrom > len(r.Messages) {
			return w, fmt.Errorf("row %s: trained from turn %d of %d", r.ID, r.TrainFrom, len(r.Messages))
		}
		w.Prompt, answer = r.Messages[:r.TrainFrom], r.Messages[r.TrainFrom:]
	}
	switch kind := r.Kind(); {
	case kind == dlm.RowPair:
		w.Chosen, w.Rejected = answer, r.RawRejected
		if len(r.Messages) > 0 {
			w.Rejected = r.Rejected
		}
	case kind == dlm.RowPrompt:
	case kind == dlm.RowText:
		w.Prompt, w.Text = nil, &r.RawCompletion
	case kind == dlm.RowAnswer && len(r.Messages) > 0 && r.TrainFrom == 0:
		w.Prompt, w.Messages = nil, r.Messages
	default:
		w.Completion = answer
	}
	return w, nil
}

// WriteFile writes rows to a file that appears whole or not at all.
func WriteFile(path string, rows []dlm.Row) error {
	var b bytes.Buffer
	if err := WriteRows(&b, rows); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b.Bytes())
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
