package evals

import (
	"encoding/json"
	"io"

	"dlm"
)

// WriteJSON writes the report as indented JSON. Equal reports give equal bytes:
// fields stand in their declared order, maps by key.
func WriteJSON(w io.Writer, r dlm.Report) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// ReadJSON reads what WriteJSON wrote.
func ReadJSON(rd io.Reader) (dlm.Report, error) {
	var r dlm.Report
	dec := json.NewDecoder(rd)
	dec.DisallowUnknownFields()
	err := dec.Decode(&r)
	return r, err
}
