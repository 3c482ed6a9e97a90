package trl

import (
	"fmt"

	"dlm"
)

// row is a line of rows.jsonl for sft and cpt.
type row struct {
	ID   string  `json:"id"`
	IDs  []int32 `json:"ids"`
	Mask []int   `json:"mask"` // completion mask: 1 = the token counts in the loss
}

// encodedRows are the lines of rows.jsonl for the job's method, and how many
// tokens they hold and train.
type encodedRows struct {
	lines              []any
	tokens, lossTokens []int // [rows]
	endOfTurn          int32 // id that ends an assistant turn, -1: none
}

// encode turns rows into lines for a method; what names the set of rows in errors.
func (t *TRL) encode(what string, rows []dlm.Row, r dlm.Recipe) (encodedRows, error) {
	list, err := dlm.EncodeRows(t.o.Encoder, what, rows, r.MaxLen, r.Truncate)
	if err != nil {
		return encodedRows{}, err
	}
	out := encodedRows{endOfTurn: -1}
	for i, e := range list {
		line := row{ID: rowID(rows[i], i), IDs: e.IDs, Mask: make([]int, len(e.Mask))}
		counted := 0
		for k, m := range e.Mask {
			if m {
				line.Mask[k] = 1
				counted++
			}
		}
		if counted == 0 {
			return encodedRows{}, fmt.Errorf("%s row %s: its mask is all zero, no token of it would be trained", what, rowID(rows[i], i))
		}
		out.endOfTurn = e.EndOfTurn
		out.lines = append(out.lines, line)
		out.tokens, out.lossTokens = append(out.tokens, len(e.IDs)), append(out.lossTokens, counted)
	}
	return out, nil
}

func rowID(r dlm.Row, i int) string {
	if r.ID != "" {
		return r.ID
	}
	return r.Where(i)
}
