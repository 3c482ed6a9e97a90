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
// completion; text. The bytes depend on the rows alone.
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
	var v any
	switch {
	case len(r.Messages) > 0 && r.TrainFrom == 0:
		v = struct {
			ID       string        `json:"id,omitempty"`
			Messages []dlm.Message `json:"messages"`
			Tags     []string      `json:"tags,omitempty"`
		}{r.ID, r.Messages, r.Tags}
	case len(r.Messages) > 0:
		if r.TrainFrom > len(r.Messages) {
			return nil, fmt.Errorf("row %s: trained from turn %d of %d", r.ID, r.TrainFrom, len(r.Messages))
		}
		v = struct {
			ID         string        `json:"id,omitempty"`
			Prompt     []dlm.Message `json:"prompt"`
			Completion []dlm.Message `json:"completion"`
			Tags       []string      `json:"tags,omitempty"`
		}{r.ID, r.Messages[:r.TrainFrom], r.Messages[r.TrainFrom:], r.Tags}
	case r.RawPrompt != "":
		v = struct {
			ID         string   `json:"id,omitempty"`
			Prompt     string   `json:"prompt"`
			Completion string   `json:"completion"`
			Tags       []string `json:"tags,omitempty"`
		}{r.ID, r.RawPrompt, r.RawCompletion, r.Tags}
	default:
		v = struct {
			ID   string   `json:"id,omitempty"`
			Text string   `json:"text"`
			Tags []string `json:"tags,omitempty"`
		}{r.ID, r.RawCompletion, r.Tags}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
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
