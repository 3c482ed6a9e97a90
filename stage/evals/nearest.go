package evals

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"dlm"
)

// Index finds the training rows that are lexically nearest to a prompt: cosine
// of TF-IDF vectors over words and character runs. Rows of equal likeness stand
// in the order of the training file.
//
// A row whose prompt is the golden item's own (after folding case, punctuation
// and spaces) is a leak: it is never returned. Leaks lists them.
type Index struct {
	rows     []dlm.Row // those with a prompt and a completion
	texts    []string  // normalized prompt text
	vectors  []sparse
	vec      *vectorizer
	postings [][]posting // by feature, in order of row
	skipped  int         // rows without a prompt or a completion
}

type posting struct {
	row int32
	val float64
}

// NewIndex indexes training rows by what the user said in their prompts.
func NewIndex(rows []dlm.Row) (*Index, error) {
	ix := &Index{}
	var prompts []string
	for _, r := range rows {
		text := userText(rowPrompt(r))
		if strings.TrimSpace(text) == "" || r.Completion() == "" {
			ix.skipped++
			continue
		}
		ix.rows = append(ix.rows, r)
		ix.texts = append(ix.texts, normalized(text))
		prompts = append(prompts, text)
	}
	if len(ix.rows) == 0 {
		return nil, errors.New("no training row has both a prompt and a completion; the few-shot, nearest and linear arms need some")
	}
	ix.vec = newVectorizer(prompts)
	ix.postings = make([][]posting, len(ix.vec.idf))
	for i, p := range prompts {
		v := ix.vec.vector(p)
		ix.vectors = append(ix.vectors, v)
		for j, id := range v.ids {
			ix.postings[id] = append(ix.postings[id], posting{int32(i), v.vals[j]})
		}
	}
	return ix, nil
}

// Len returns how many rows are indexed.
func (ix *Index) Len() int { return len(ix.rows) }

// Nearest returns up to k rows, the nearest first. Leaks of the item and rows
// with nothing in common with it are left out.
func (ix *Index) Nearest(item dlm.Item, k int) []dlm.Row {
	text := userText(item.Messages)
	self := normalized(text)
	score := make([]float64, len(ix.rows))
	q := ix.vec.vector(text)
	for i, id := range q.ids {
		for _, p := range ix.postings[id] {
			score[p.row] += q.vals[i] * p.val
		}
	}
	var near []int
	for i, s := range score {
		if s > 0 && ix.texts[i] != self {
			near = append(near, i)
		}
	}
	slices.SortStableFunc(near, func(a, b int) int { return cmp.Compare(score[b], score[a]) })
	out := make([]dlm.Row, 0, k)
	for _, i := range near[:min(k, len(near))] {
		out = append(out, ix.rows[i])
	}
	return out
}

// Leaks returns the ids of the items whose prompt also stands in a training row.
func (ix *Index) Leaks(items []dlm.Item) []string {
	train := make(map[string]bool, len(ix.texts))
	for _, t := range ix.texts {
		train[t] = true
	}
	var ids []string
	for _, it := range items {
		if train[normalized(userText(it.Messages))] {
			ids = append(ids, it.ID)
		}
	}
	return ids
}

// rowPrompt returns the row's prompt as messages, plain text as a user's turn.
func rowPrompt(r dlm.Row) []dlm.Message {
	if len(r.Messages) > 0 {
		return r.Prompt()
	}
	if r.RawPrompt == "" {
		return nil
	}
	return []dlm.Message{{Role: "user", Content: r.RawPrompt}}
}

// userText joins what the user said.
func userText(msgs []dlm.Message) string {
	var parts []string
	for _, m := range msgs {
		if m.Role == "user" {
			parts = append(parts, m.Content)
		}
	}
	return strings.Join(parts, "\n")
}
