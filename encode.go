package dlm

import (
	"fmt"
	"strings"
)

// EncodeRows turns rows into ids and masks for a trainer, and refuses what would
// teach something else than meant (engine law 7): a completion that is cut,
// unless truncate accepts it, and an end of turn that no row trains. what names
// the set of rows in errors: "training", "held-out".
func EncodeRows(enc Encoder, what string, rows []Row, maxLen int, truncate bool) ([]Encoded, error) {
	var cut, bad []string
	ends, wanted := 0, false
	out := make([]Encoded, len(rows))
	for i, row := range rows {
		e, err := enc.Encode(row, maxLen)
		if err != nil {
			bad = append(bad, err.Error())
			continue
		}
		if e.Truncated {
			cut = append(cut, row.Where(i))
		}
		wanted = wanted || e.EndOfTurn >= 0
		for t, id := range e.IDs {
			if e.Mask[t] && id == e.EndOfTurn {
				ends++
			}
		}
		out[i] = e
	}
	switch {
	case len(bad) > 0:
		return nil, fmt.Errorf("%d %s rows cannot be trained on: %s", len(bad), what, firstFive(bad))
	case len(cut) > 0 && !truncate:
		limit := "the base's context"
		if maxLen > 0 {
			limit = fmt.Sprintf("%d tokens", maxLen)
		}
		return nil, fmt.Errorf("%d %s rows have completions that do not fit %s: %s; raise max_len, shorten them, or accept it with truncate",
			len(cut), what, limit, firstFive(cut))
	case len(rows) > 0 && wanted && ends == 0:
		return nil, fmt.Errorf("no %s row trains the token that ends a turn, so answers would never end; is every completion cut, or does the chat template write no end of turn?", what)
	}
	return out, nil
}

// Where says where a row stands: file and line, else its id, else its place in
// the list (i, counted from 0).
func (r Row) Where(i int) string {
	switch {
	case r.File != "" && r.Line > 0:
		return fmt.Sprintf("%s:%d", r.File, r.Line)
	case r.ID != "":
		return "row " + r.ID
	}
	return fmt.Sprintf("row %d", i+1)
}

// firstFive joins at most five entries.
func firstFive(s []string) string {
	const shown = 5
	if len(s) > shown {
		return strings.Join(s[:shown], "; ") + fmt.Sprintf("; and %d more", len(s)-shown)
	}
	return strings.Join(s, "; ")
}
