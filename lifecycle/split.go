package lifecycle

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"dlm"
	"dlm/stage/curate"
)

// SplitOptions says how items are taken out of a training file.
type SplitOptions struct {
	Data   string         // training file
	Read   curate.Options // how to read it; leave System empty
	Out    string         // where the remaining rows go; the same path replaces the file, which must be JSONL
	Golden string         // golden set the items are added to; it is begun when it is not there
	Name   string         // of a set that is begun
	Items  int
	Seed   uint64
	Author string
	Near   float64 // rows this near to an item leave the training file too; 0 = 0.9
}

// SplitResult says where every row went.
type SplitResult struct {
	Items   int    `json:"items"`             // new in the golden set
	Train   int    `json:"train"`             // rows left
	Equal   int    `json:"equal"`             // rows removed because their prompt is an item's
	Near    int    `json:"near"`              // rows removed because they are almost the same as an item
	Groups  int    `json:"groups"`            // clusters or prompts taken
	Removed string `json:"removed,omitempty"` // file that holds the rows that went to neither side
	Golden  string `json:"golden"`
	Out     string `json:"out"`
}

// SplitGolden moves items from a training file into a golden set. Whole groups
// move: rows of one cluster, and rows with the same normalised prompt, never
// stand on both sides. Which groups go depends on the seed and their text, not
// on the order of the file. Rows that are left out of both sides are kept in
// OUT.removed.jsonl.
func SplitGolden(o SplitOptions) (SplitResult, error) {
	res := SplitResult{Golden: o.Golden, Out: o.Out}
	records, det, err := curate.ReadRecords(o.Data, o.Read)
	if err != nil {
		return res, err
	}
	if err := answersOnly(records); err != nil {
		return res, fmt.Errorf("golden split: %w", err)
	}
	if o.Items < 1 {
		return res, fmt.Errorf("golden split: %d items: expected 1 or more", o.Items)
	}
	if filepath.Clean(o.Out) == filepath.Clean(o.Data) && det.Container != curate.JSONL {
		return res, fmt.Errorf("golden split: %s is %s: the remaining rows are written as JSONL, name another file for them", o.Data, strings.ToUpper(string(det.Container)))
	}
	g, err := openOrNew(o)
	if err != nil {
		return res, err
	}
	taken, items, err := pick(records, o, g)
	if err != nil {
		return res, err
	}
	res.Items, res.Groups = len(items), taken.groups
	keep, removed := res.divide(records, taken, items, g, o.Near)
	if 2*len(keep) < len(records) {
		return res, fmt.Errorf("golden split: %d of %d rows would leave the training file: ask for fewer items", len(records)-len(keep), len(records))
	}
	note := fmt.Sprintf("%d items from %s, seed %d", len(items), filepath.Base(o.Data), o.Seed)
	// The golden set first: if this stops half-way, the check before training
	// finds the items in both files and refuses.
	if len(g.History) == 0 {
		if g, err = NewGolden(o.Golden, o.Name, o.Author, "begun by golden split"); err != nil {
			return res, err
		}
	}
	if err := g.add("split", items, o.Author, note); err != nil {
		return res, err
	}
	if len(removed) > 0 {
		res.Removed = strings.TrimSuffix(o.Out, filepath.Ext(o.Out)) + ".removed.jsonl"
		if err := writeRecords(res.Removed, removed, det); err != nil {
			return res, err
		}
	}
	res.Train = len(keep)
	return res, writeRecords(o.Out, keep, det)
}

// openOrNew opens the golden set, or returns an empty one that is not written
// yet, so that a refused split leaves nothing behind.
func openOrNew(o SplitOptions) (*GoldenSet, error) {
	if !fileExists(o.Golden) {
		return &GoldenSet{Path: o.Golden}, nil
	}
	g, err := OpenGolden(o.Golden)
	if err != nil || len(g.History) == 0 {
		return g, err
	}
	return g, g.editable(o.Author)
}

// choice is the rows that go, by index.
type choice struct {
	rows   map[int]bool
	groups int
}

// pick chooses groups until they give the items asked for.
func pick(records []curate.Record, o SplitOptions, g *GoldenSet) (choice, []dlm.Item, error) {
	c := choice{rows: map[int]bool{}}
	have := map[string]bool{}
	for _, it := range g.Items {
		have[curate.Normalise(curate.PromptText(it.Messages))] = true
	}
	groups := groupRows(records)
	type ranked struct {
		rows []int
		rank uint64
	}
	order := make([]ranked, 0, len(groups))
	for _, rows := range groups {
		order = append(order, ranked{rows, rankOf(o.Seed, records, rows)})
	}
	slices.SortFunc(order, func(a, b ranked) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.rows[0], b.rows[0])) })
	var items []dlm.Item
	take := func(rows []int, found []dlm.Item) {
		items = append(items, found...)
		c.groups++
		for _, i := range rows {
			c.rows[i] = true
		}
	}
	// A group too large for what is left is passed over; a later one fits. When
	// none does, the smallest that was passed over makes it a few more.
	var passed []ranked
	for _, r := range order {
		switch found := itemsOf(records, r.rows, have); {
		case len(items) == o.Items || len(found) == 0:
		case len(items)+len(found) > o.Items:
			passed = append(passed, r)
		default:
			take(r.rows, found)
		}
	}
	slices.SortStableFunc(passed, func(a, b ranked) int { return cmp.Compare(len(a.rows), len(b.rows)) })
	for _, r := range passed {
		if len(items) < o.Items {
			take(r.rows, itemsOf(records, r.rows, have))
		}
	}
	if len(items) < o.Items {
		return c, nil, fmt.Errorf("golden split: %s gives %d items, %d were asked for: an item is a conversation that ends with an assistant turn, and whole groups of equal prompts or of one cluster move together",
			o.Data, len(items), o.Items)
	}
	return c, items, nil
}

// itemsOf makes items of a group's rows, one for each prompt that is not there
// yet.
func itemsOf(records []curate.Record, rows []int, have map[string]bool) []dlm.Item {
	var out []dlm.Item
	seen := map[string]bool{}
	for _, i := range rows {
		it, ok := itemOf(records[i])
		key := curate.Normalise(curate.PromptText(it.Messages))
		if ok && key != "" && !seen[key] && !have[key] {
			seen[key] = true
			out = append(out, it)
		}
	}
	return out
}

// answersOnly refuses rows that have no one right answer to be judged by.
func answersOnly(records []curate.Record) error {
	for i, r := range records {
		if k := r.Row.Kind(); k == dlm.RowPair || k == dlm.RowLabelled || k == dlm.RowPrompt {
			return fmt.Errorf("%s: %w: a golden set is made of prompts with their right answers; write one with dlm golden new, and check that these rows keep clear of it with dlm data check", r.Row.Where(i), r.Row.FitsMethod("sft"))
		}
	}
	return nil
}

// itemOf makes a golden item of a row: its prompt, and its last turn as target.
func itemOf(r curate.Record) (dlm.Item, bool) {
	n := len(r.Row.Messages)
	if r.Row.Kind() != dlm.RowAnswer || n < 2 || r.Row.Messages[n-1].Role != "assistant" || strings.TrimSpace(r.Row.Messages[n-1].Content) == "" || r.Row.TrainFrom >= n {
		return dlm.Item{}, false
	}
	return dlm.Item{ID: r.Row.ID, Messages: r.Row.Messages[:n-1], Target: r.Row.Messages[n-1].Content, Tags: r.Row.Tags, Cluster: r.Cluster}, true
}

// groupRows joins rows that share a normalised prompt or a cluster. Groups and
// their rows are in the order of the file.
func groupRows(records []curate.Record) [][]int {
	parent := make([]int, len(records))
	for i := range parent {
		parent[i] = i
	}
	find := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	first := map[string]int{}
	link := func(key string, i int) {
		if j, ok := first[key]; ok {
			a, b := find(i), find(j)
			parent[max(a, b)] = min(a, b)
		} else {
			first[key] = i
		}
	}
	for i, r := range records {
		for _, p := range curate.Prompts(r.Row) {
			if n := curate.Normalise(p); n != "" {
				link("prompt "+n, i)
			}
		}
		if r.Cluster != "" {
			link("cluster "+r.Cluster, i)
		}
	}
	groups := map[int][]int{}
	for i := range records {
		groups[find(i)] = append(groups[find(i)], i)
	}
	var out [][]int
	for _, root := range slices.Sorted(maps.Keys(groups)) {
		out = append(out, groups[root])
	}
	return out
}

// rankOf places a group by the seed and its least prompt or cluster.
func rankOf(seed uint64, records []curate.Record, rows []int) uint64 {
	least := ""
	for _, i := range rows {
		key := records[i].Cluster
		if key == "" {
			key = curate.Normalise(strings.Join(curate.Prompts(records[i].Row), "\n"))
		}
		if least == "" || key < least {
			least = key
		}
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d\n%s", seed, least))
	return binary.BigEndian.Uint64(sum[:])
}

// divide sends every row to one place.
func (res *SplitResult) divide(records []curate.Record, taken choice, items []dlm.Item, g *GoldenSet, near float64) (keep, removed []curate.Record) {
	if near == 0 {
		near = 0.9
	}
	all := append(slices.Clone(g.Items), items...)
	texts := make([]string, len(all))
	isItem := map[string]bool{}
	for i, it := range all {
		texts[i] = curate.PromptText(it.Messages)
	}
	for _, it := range items {
		isItem[it.ID] = true
	}
	index := curate.NewIndex(texts)
	for i, r := range records {
		if taken.rows[i] {
			if !isItem[r.Row.ID] {
				removed = append(removed, r)
				res.Equal++
			}
			continue
		}
		best := 0.0
		for _, p := range curate.Prompts(r.Row) {
			if m := index.Find(p, near); len(m) > 0 {
				best = max(best, m[0].Jaccard)
			}
		}
		switch {
		case best >= 1:
			removed = append(removed, r)
			res.Equal++
		case best > 0:
			removed = append(removed, r)
			res.Near++
		default:
			keep = append(keep, r)
		}
	}
	return keep, removed
}

// writeRecords writes rows as JSONL: as they stood where they came from JSONL.
func writeRecords(path string, records []curate.Record, det curate.Detection) error {
	var b bytes.Buffer
	for _, r := range records {
		line := r.Raw
		if det.Container != curate.JSONL {
			var err error
			if line, err = curate.EncodeRow(r.Row); err != nil {
				return err
			}
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	return writeAtomic(path, b.Bytes())
}

// SplitHeld divides rows into those to train on and those held out to watch the
// loss. Rows with the same normalised prompt stay together. Which go depends on
// the seed and the text, not on the order; the order of both sides is kept.
func SplitHeld(rows []dlm.Row, h Held, seed uint64) (train, held []dlm.Row) {
	n := h.Rows
	if h.Part > 0 {
		n = int(float64(len(rows))*h.Part + 0.5)
	}
	if n <= 0 {
		return rows, nil
	}
	records := make([]curate.Record, len(rows))
	for i, r := range rows {
		records[i].Row = r
	}
	groups := groupRows(records)
	slices.SortStableFunc(groups, func(a, b []int) int {
		return cmp.Compare(rankOf(seed, records, a), rankOf(seed, records, b))
	})
	out := map[int]bool{}
	for _, g := range groups {
		if len(out) < n && len(out)+len(g) <= n {
			for _, i := range g {
				out[i] = true
			}
		}
	}
	for i, r := range rows {
		if out[i] {
			held = append(held, r)
		} else {
			train = append(train, r)
		}
	}
	return train, held
}
