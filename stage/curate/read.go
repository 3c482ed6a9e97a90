package curate

import (
	"errors"
	"fmt"
	"path/filepath"

	"dlm"
)

// Options says how to read a file. The zero value detects everything.
type Options struct {
	Format     Format // empty = detected
	Prompt     string // column of the prompt, for pairs
	Completion string // column of the completion, for pairs
	System     string // put before conversations that have no system message
}

// Record is a row with what it was read from.
type Record struct {
	Row     dlm.Row
	Raw     []byte // the row as one JSON object, unchanged for JSONL
	Cluster string // the row's cluster field, if it has one
}

// maxErrors is how many broken rows are described; the rest are counted.
const maxErrors = 20

// Read reads all rows of a file. When some cannot be read it returns the others
// and a *ReadError that names every broken one by line.
func Read(path string, o Options) ([]dlm.Row, error) {
	records, _, err := ReadRecords(path, o)
	rows := make([]dlm.Row, len(records))
	for i, r := range records {
		rows[i] = r.Row
	}
	return rows, err
}

// ReadRecords is Read with the raw rows and what was detected.
func ReadRecords(path string, o Options) ([]Record, Detection, error) {
	det, err := detect(path, o)
	if o.Format != "" && o.Format != Pairs {
		// The format was given: only what keeps the file from being read at all counts.
		var re *RowError
		if err == nil || errors.As(err, &re) && det.Looked > 0 {
			det.Format, det.Evidence, err = o.Format, []string{"as asked"}, nil
		}
	}
	if err != nil {
		return nil, det, err
	}
	bad := &ReadError{File: path}
	add := func(e *RowError) {
		if len(bad.Errors) < maxErrors {
			bad.Errors = append(bad.Errors, e)
		} else {
			bad.More++
		}
	}
	var out []Record
	seen := map[string]int{}
	_, err = readRecords(path, func(r record) bool {
		if r.err != nil {
			add(r.err)
			return true
		}
		rec, e := shapeRecord(r, det, o)
		if e == nil {
			if first, twice := seen[rec.Row.ID]; twice {
				e = &RowError{Field: "id", Problem: fmt.Sprintf("%q is also the id of line %d", rec.Row.ID, first), Expected: "an id of its own", Next: "rename or drop one"}
			}
		}
		if e != nil {
			e.File, e.Line = path, r.line
			if e.Excerpt == "" {
				e.Excerpt = excerpt(r.raw, 100)
			}
			add(e)
			return true
		}
		seen[rec.Row.ID] = r.line
		rec.Row.File, rec.Row.Line = path, r.line
		out = append(out, rec)
		return true
	})
	var re *RowError
	if errors.As(err, &re) {
		add(re)
		err = nil
	}
	if err != nil {
		return out, det, err
	}
	if len(bad.Errors) > 0 {
		bad.Rows = len(out)
		return out, det, bad
	}
	return out, det, nil
}

func shapeRecord(r record, det Detection, o Options) (Record, *RowError) {
	rec := Record{Raw: r.raw}
	obj, err := parseObject(r.raw)
	if err != nil {
		return rec, &RowError{Problem: err.Error(), Expected: "one JSON object"}
	}
	row, e := shape(obj, det)
	if e != nil {
		return rec, e
	}
	if row.ID, e = rowID(obj, r.line, det.File); e != nil {
		return rec, e
	}
	if row.Tags, e = rowTags(obj); e != nil {
		return rec, e
	}
	if rec.Cluster, e = optionalText(obj, "cluster"); e != nil {
		return rec, e
	}
	rec.Row = withSystem(row, o.System)
	return rec, nil
}

// rowID takes the row's own id, or makes one from file and line.
func rowID(obj object, line int, path string) (string, *RowError) {
	raw, ok := obj.fields["id"]
	if !ok {
		return fmt.Sprintf("%s:%d", filepath.Base(path), line), nil
	}
	if s, ok := asText(raw); ok && s != "" {
		return s, nil
	}
	if raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9' {
		return string(raw), nil
	}
	return "", &RowError{Field: "id", Problem: "is " + kindOf(raw), Expected: "text or a number"}
}

// withSystem puts the project's system message before a conversation.
func withSystem(row dlm.Row, system string) dlm.Row {
	if system == "" || len(row.Messages) == 0 || row.Messages[0].Role == "system" {
		return row
	}
	row.Messages = append([]dlm.Message{{Role: "system", Content: system}}, row.Messages...)
	if row.TrainFrom > 0 {
		row.TrainFrom++
	}
	return row
}
