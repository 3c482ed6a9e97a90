package trl

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"dlm"
)

// The lines of rows.jsonl, by method.
type (
	// textRow is a line for sft and cpt.
	textRow struct {
		ID   string  `json:"id"`
		IDs  []int32 `json:"ids"`
		Mask []int   `json:"mask"` // completion mask: 1 = the token counts in the loss
	}
	// pairRow is a line for dpo and orpo: two answers to one prompt.
	pairRow struct {
		ID          string  `json:"id"`
		PromptIDs   []int32 `json:"prompt_ids"`
		ChosenIDs   []int32 `json:"chosen_ids"`
		RejectedIDs []int32 `json:"rejected_ids"`
	}
	// labelledRow is a line for kto.
	labelledRow struct {
		ID            string  `json:"id"`
		PromptIDs     []int32 `json:"prompt_ids"`
		CompletionIDs []int32 `json:"completion_ids"`
		Label         bool    `json:"label"` // true = people liked the answer
	}
	// promptRow is a line for grpo, which samples the answers.
	promptRow struct {
		ID        string  `json:"id"`
		PromptIDs []int32 `json:"prompt_ids"`
		Row       int     `json:"row"` // its index
	}
)

// encodedRows are the lines of rows.jsonl for the job's method, and how many
// tokens they hold and train.
type encodedRows struct {
	lines              []any
	tokens, lossTokens []int  // [rows]
	longest            []int  // [rows] tokens of the row's longest sequence
	whole              []bool // [rows] nothing of it was cut, so TRL's own ids can be compared
	endOfTurn          int32  // id that ends an assistant turn, -1: none
}

func (out *encodedRows) add(line any, tokens, lossTokens, longest int, whole bool) {
	out.lines, out.whole = append(out.lines, line), append(out.whole, whole)
	out.tokens, out.lossTokens, out.longest = append(out.tokens, tokens), append(out.lossTokens, lossTokens), append(out.longest, longest)
}

// encode turns rows into lines for a method; what names the set of rows in
// errors. Rows that the method cannot train on are refused.
func (t *TRL) encode(what string, rows []dlm.Row, r dlm.Recipe) (encodedRows, error) {
	out := encodedRows{endOfTurn: -1}
	if err := dlm.CheckMethodRows(r.Method, what, rows); err != nil {
		return out, err
	}
	if r.Method == "grpo" {
		return t.encodePrompts(what, rows, r)
	}
	var sides []dlm.Row
	for _, row := range rows {
		for _, s := range row.Sides() {
			sides = append(sides, s.Row)
		}
	}
	list, err := dlm.EncodeRows(t.o.Encoder, what, sides, r.MaxLen, r.Truncate)
	if err != nil {
		return out, err
	}
	var bad []error
	for i, row := range rows {
		mine := list[:len(row.Sides())]
		list = list[len(mine):]
		out.endOfTurn = mine[0].EndOfTurn
		if err := out.addRow(row, i, mine, r); err != nil && len(bad) < 5 {
			bad = append(bad, fmt.Errorf("%s row %s: %w", what, named(row, i), err))
		}
	}
	return out, errors.Join(bad...)
}

// addRow adds the line of one row, of which e holds the encoded answers.
func (out *encodedRows) addRow(row dlm.Row, i int, e []dlm.Encoded, r dlm.Recipe) error {
	whole := true
	var parts []reply
	tokens, trained, longest := 0, 0, 0
	for _, x := range e {
		whole = whole && !x.Truncated && (r.MaxLen <= 0 || len(x.IDs) < r.MaxLen)
		n := 0
		for _, m := range x.Mask {
			if m {
				n++
			}
		}
		if n == 0 {
			return errors.New("its mask is all zero, no token of it would be trained")
		}
		tokens, trained, longest = tokens+len(x.IDs), trained+n, max(longest, len(x.IDs))
		if row.Kind() == dlm.RowPair || row.Kind() == dlm.RowLabelled {
			a, err := split(x)
			if err != nil {
				return err
			}
			parts = append(parts, a)
		}
	}
	id := rowID(row, i)
	switch row.Kind() {
	case dlm.RowPair:
		if !slices.Equal(parts[0].prompt, parts[1].prompt) {
			return errors.New("its answers change the tokens of their prompt, which dpo and orpo compare them after: end the prompt where a token ends, or use lists of turns")
		}
		out.add(pairRow{id, parts[0].prompt, parts[0].ids, parts[1].ids}, tokens, trained, longest, whole)
	case dlm.RowLabelled:
		out.add(labelledRow{id, parts[0].prompt, parts[0].ids, *row.Label}, tokens, trained, longest, whole)
	default:
		line := textRow{ID: id, IDs: e[0].IDs, Mask: make([]int, len(e[0].IDs))}
		for k, m := range e[0].Mask {
			if m {
				line.Mask[k] = 1
			}
		}
		out.add(line, tokens, trained, longest, whole)
	}
	return nil
}

// reply is a row as a prompt's ids and the ids that are trained.
type reply struct{ prompt, ids []int32 }

// split cuts a row where its answer begins and after it ends. What a template
// writes after the end of a turn belongs to neither: nobody generates it.
func split(e dlm.Encoded) (reply, error) {
	from := slices.Index(e.Mask, true)
	to := from
	for to < len(e.Mask) && e.Mask[to] {
		to++
	}
	if slices.Contains(e.Mask[to:], true) {
		return reply{}, errors.New("its answer is in several parts (of several turns, or of a template that masks some of it), and a preference is about one")
	}
	if from == 0 {
		return reply{}, errors.New("it has no prompt")
	}
	return reply{e.IDs[:from], e.IDs[from:to]}, nil
}

// encodePrompts makes the lines for grpo: what serving would be sent.
func (t *TRL) encodePrompts(what string, rows []dlm.Row, r dlm.Recipe) (encodedRows, error) {
	out := encodedRows{endOfTurn: -1}
	var bad []error
	for i, row := range rows {
		ids, err := t.promptIDs(row, &out)
		if err == nil && r.MaxLen > 0 && len(ids)+r.Rollouts.MaxTokens > r.MaxLen {
			err = fmt.Errorf("its prompt has %d tokens, and with train.rollouts.max_tokens %d it does not fit max_len %d; raise max_len, or lower max_tokens", len(ids), r.Rollouts.MaxTokens, r.MaxLen)
		}
		if err != nil {
			if bad = append(bad, fmt.Errorf("%s row %s: %w", what, named(row, i), err)); len(bad) == 5 {
				break
			}
			continue
		}
		longest := len(ids) + r.Rollouts.MaxTokens
		out.add(promptRow{rowID(row, i), ids, i}, longest*r.Group, r.Rollouts.MaxTokens*r.Group, longest, true)
	}
	return out, errors.Join(bad...)
}

// promptIDs returns the ids of a row's prompt, and notes what ends a turn.
func (t *TRL) promptIDs(row dlm.Row, out *encodedRows) ([]int32, error) {
	e, err := t.o.Encoder.Encode(row, 0)
	if err != nil {
		return nil, err
	}
	out.endOfTurn = e.EndOfTurn
	return t.o.Encoder.Prompt(row.Prompt(), row.RawPrompt)
}

// checks are the first rows as TRL itself would be given them. Rows that were cut
// are left out: TRL cuts elsewhere.
func checks(rows []dlm.Row, e encodedRows, method string) []Check {
	var out []Check
	for i, row := range rows {
		if len(out) == checked {
			break
		}
		if !e.whole[i] {
			continue
		}
		c := Check{Row: i, Messages: row.Messages, TrainFrom: row.TrainFrom, Prompt: row.RawPrompt, Completion: row.RawCompletion, Rejected: row.Rejected, RejectedText: row.RawRejected}
		if method == "grpo" {
			c = Check{Row: i, Messages: row.Prompt(), TrainFrom: len(row.Prompt()), Prompt: row.RawPrompt}
		}
		out = append(out, c)
	}
	return out
}

// named says where a row stands and what it is called, for errors.
func named(r dlm.Row, i int) string {
	where := r.Where(i)
	if r.ID == "" || strings.HasSuffix(where, r.ID) {
		return where
	}
	return where + " (" + r.ID + ")"
}

func rowID(r dlm.Row, i int) string {
	if r.ID != "" {
		return r.ID
	}
	return r.Where(i)
}
