package curate

import (
	"slices"
	"strings"

	"dlm"
)

// unfit finds rows that the method cannot train on.
func (c *checker) unfit(row dlm.Row) bool {
	if c.o.Method == "" {
		return false
	}
	err := row.FitsMethod(c.o.Method)
	if err != nil {
		c.add(KindMethod, ref(row, "%v", err))
	}
	return err != nil
}

// rejectedText is the rejected answer of a pair.
func rejectedText(row dlm.Row) string {
	if n := len(row.Rejected); n > 0 {
		return row.Rejected[n-1].Content
	}
	return row.RawRejected
}

// pair finds answers that are equal, and answers that change their prompt's
// tokens: the loss compares what follows the same ids.
func (c *checker) pair(row dlm.Row, chosen, rejected dlm.Encoded) {
	from := slices.Index(chosen.Mask, true)
	if from < 0 || !slices.Contains(rejected.Mask, true) {
		return // said already
	}
	switch {
	case strings.TrimSpace(row.Completion()) == strings.TrimSpace(rejectedText(row)) || slices.Equal(chosen.IDs, rejected.IDs) && !chosen.Truncated:
		c.add(KindSameAnswers, ref(row, ""))
	case slices.Index(rejected.Mask, true) != from || !slices.Equal(chosen.IDs[:from], rejected.IDs[:from]):
		c.add(KindPromptSplit, ref(row, ""))
	}
}

// opposes finds a pair that stands the other way round in an earlier row, and an
// answer that was labelled otherwise; other repetitions of them are duplicates.
// key is the prompt.
func (c *checker) opposes(row dlm.Row, key, completion string) bool {
	var same, opposite string
	switch row.Kind() {
	case dlm.RowPair:
		no := strings.TrimSpace(rejectedText(row))
		same, opposite = completion+"\x00"+no, no+"\x00"+completion
	case dlm.RowLabelled:
		same, opposite = completion+"\x00yes", completion+"\x00no"
		if !*row.Label {
			same, opposite = opposite, same
		}
	default:
		return false
	}
	s := c.prompts[key]
	if s == nil {
		s = &seen{ref(row, ""), map[string]RowRef{}}
		c.prompts[key] = s
	}
	if first, ok := s.completions[opposite]; ok {
		c.add(KindContradicts, ref(row, "of %s", first.from(row)))
	} else if first, ok := s.completions[same]; ok {
		c.add(KindDuplicate, ref(row, "as %s", first.from(row)))
	} else {
		s.completions[same] = ref(row, "")
	}
	return true
}

// labels refuses labels that are all equal: there is nothing to tell apart.
func (c *checker) labels(rows []dlm.Row) {
	yes, no := 0, 0
	for _, r := range rows {
		switch {
		case r.Label == nil:
		case *r.Label:
			yes++
		default:
			no++
		}
	}
	if yes+no > 1 && (yes == 0 || no == 0) {
		c.add(KindOneLabel, RowRef{})
		f := c.byKind[KindOneLabel]
		f.Rows = nil
		f.Problem += map[bool]string{true: " (true)", false: " (false)"}[no == 0]
	}
}
