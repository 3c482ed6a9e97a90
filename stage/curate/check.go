package curate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"dlm"
)

// Severity says what a finding does.
type Severity string

// Refuse stops a run, Warn does not.
const (
	Refuse Severity = "refuse"
	Warn   Severity = "warn"
)

// The kinds of findings.
const (
	KindEmpty       = "empty"        // a row or its completion is empty
	KindEncode      = "encode"       // the base's template cannot render it
	KindMask        = "empty-mask"   // no token would count in the loss
	KindEndOfTurn   = "end-of-turn"  // no row trains the token that ends a turn
	KindTruncated   = "truncated"    // a completion was cut to the maximum length
	KindDuplicate   = "duplicate"    // same prompt and completion as an earlier row
	KindConflict    = "conflict"     // same prompt as an earlier row, other completion
	KindGolden      = "golden"       // the prompt stands in the golden set
	KindGoldenNear  = "golden-near"  // almost the same as one in the golden set
	KindGoldenInset = "golden-text"  // a plain text holds a golden prompt
	KindMethod      = "method"       // the method cannot train on such rows
	KindSameAnswers = "same-answers" // a pair whose answers are equal
	KindPromptSplit = "prompt-split" // the chosen and the rejected answer do not follow the same prompt tokens
	KindContradicts = "contradicts"  // an earlier row says the opposite
	KindOneLabel    = "one-label"    // all labels are equal
)

// RowRef points at one row of a finding.
type RowRef struct {
	ID   string `json:"id"`
	File string `json:"file"`
	Line int    `json:"line"`
	Note string `json:"note,omitempty"` // what it is like, for this row
}

// Finding is one kind of trouble and the rows that have it.
type Finding struct {
	Kind     string   `json:"kind"`
	Severity Severity `json:"severity"`
	Problem  string   `json:"problem"` // one sentence
	Remedy   string   `json:"remedy"`  // what to do
	Rows     []RowRef `json:"rows"`
}

// CheckOptions says what counts as trouble. The zero value checks everything.
type CheckOptions struct {
	MaxLen   int     // tokens an example may have; 0 = the base's context length
	Truncate bool    // accept truncated completions
	Near     float64 // Jaccard similarity to a golden prompt that refuses a row; 0 = 0.9, 1 = equal ones only
	Method   string  // that the rows are for; empty = any that their shape fits
}

// Result is what Check found.
type Result struct {
	Rows       int       `json:"rows"`
	Tokens     int       `json:"tokens"`      // of all rows
	LossTokens int       `json:"loss_tokens"` // of which count in the loss
	Longest    int       `json:"longest"`     // tokens of the longest row
	Median     int       `json:"median"`      // tokens of the middle row
	Findings   []Finding `json:"findings"`
}

// Refused says whether a finding stops the run.
func (r Result) Refused() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity == Refuse })
}

// Err is nil, or an error that lists the findings that refuse the data.
func (r Result) Err() error {
	var errs []error
	for _, f := range r.Findings {
		if f.Severity == Refuse {
			errs = append(errs, errors.New(f.String()))
		}
	}
	return errors.Join(errs...)
}

// String is the finding on one line, with its first rows.
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(f.Problem)
	const show = 5
	for i, r := range f.Rows[:min(show, len(f.Rows))] {
		if i == 0 {
			b.WriteString(": ")
		} else {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s:%d", r.File, r.Line)
		if r.Note != "" {
			fmt.Fprintf(&b, " (%s)", r.Note)
		}
	}
	if n := len(f.Rows) - show; n > 0 {
		fmt.Fprintf(&b, " and %d more", n)
	}
	fmt.Fprintf(&b, ". %s", f.Remedy)
	return b.String()
}

// Check looks at every row as the base model will see it and compares the
// prompts with the golden set's. It changes nothing.
func Check(ctx context.Context, rows []dlm.Row, enc dlm.Encoder, golden []dlm.Item, o CheckOptions) (Result, error) {
	c := &checker{res: Result{Rows: len(rows)}, o: o, byKind: map[string]*Finding{}, prompts: map[string]*seen{}}
	if c.o.Near == 0 {
		c.o.Near = 0.9
	}
	texts := make([]string, len(golden))
	for i, it := range golden {
		texts[i] = PromptText(it.Messages)
	}
	c.golden, c.texts, c.index = golden, texts, NewIndex(texts)
	if len(rows) == 0 {
		c.add(KindEmpty, RowRef{})
		c.byKind[KindEmpty].Rows = nil
		c.byKind[KindEmpty].Problem = "there are no rows"
	}
	c.promptsAlone = c.o.Method == "grpo" || c.o.Method == "" && !slices.ContainsFunc(rows, func(r dlm.Row) bool { return r.Kind() != dlm.RowPrompt })
	for _, row := range rows {
		if err := ctx.Err(); err != nil {
			return c.res, err
		}
		if c.unfit(row) {
			continue // nothing else that is wrong with it matters
		}
		c.duplicates(row)
		c.leaks(row)
		if !c.empty(row) {
			c.encoded(row, enc)
		}
	}
	c.labels(rows)
	c.finish(rows)
	return c.res, nil
}

type seen struct {
	row         RowRef
	completions map[string]RowRef
}

type checker struct {
	res     Result
	o       CheckOptions
	golden  []dlm.Item
	texts   []string
	index   *Index
	byKind  map[string]*Finding
	prompts map[string]*seen
	lengths []int

	promptsAlone bool // rows need no answer

	// Of the end-of-turn token: its id, whether some row has one, whether some trains it.
	endOfTurn      int32
	hasEnd, trains bool
}

// about holds each kind's severity, sentence and remedy.
var about = map[string]Finding{
	KindEmpty:       {Severity: Refuse, Problem: "rows are empty", Remedy: "Fill in or delete them."},
	KindEncode:      {Severity: Refuse, Problem: "rows cannot be rendered by the base's chat template", Remedy: "Mend or delete them."},
	KindMask:        {Severity: Refuse, Problem: "rows have an empty completion mask: no token of them would be trained", Remedy: "Give them an assistant turn to learn, or delete them; with a long prompt raise data.max_len."},
	KindEndOfTurn:   {Severity: Refuse, Problem: "no row trains the end-of-turn token: the adapter would never stop talking", Remedy: "Use a template that ends assistant turns, or raise data.max_len if the completions were cut."},
	KindTruncated:   {Severity: Refuse, Problem: "completions are truncated to the maximum length", Remedy: "Raise data.max_len, shorten them, or accept it with --truncate (data.truncate: true)."},
	KindDuplicate:   {Severity: Refuse, Problem: "rows repeat an earlier row", Remedy: "Delete them: dlm data check FILE --write CLEAN writes the rows that pass."},
	KindConflict:    {Severity: Warn, Problem: "rows have the prompt of an earlier row but another completion", Remedy: "Decide which is right; the adapter cannot learn both."},
	KindGolden:      {Severity: Refuse, Problem: "rows also stand in the golden set", Remedy: "Delete them from the training data: dlm data check FILE --write CLEAN does; an item that was trained on proves nothing."},
	KindGoldenNear:  {Severity: Refuse, Problem: "rows are almost the same as items of the golden set", Remedy: "Delete them from the training data: dlm data check FILE --write CLEAN does."},
	KindMethod:      {Severity: Refuse, Problem: "rows are not what train.method trains on", Remedy: "Change train.method, or the rows."},
	KindSameAnswers: {Severity: Refuse, Problem: "rows reject the answer that they choose", Remedy: "Delete them: nothing can be learned from them."},
	KindPromptSplit: {Severity: Refuse, Problem: "rows have answers that change the tokens of their prompt", Remedy: "End the prompt where a token ends (not in a space), or use lists of turns."},
	KindContradicts: {Severity: Refuse, Problem: "rows say the opposite of an earlier row", Remedy: "Decide which is right."},
	KindOneLabel:    {Severity: Refuse, Problem: "all labels are the same", Remedy: "Add rows of the other label: kto learns from the difference. To train on liked answers alone, take the labels out and use sft."},
	KindGoldenInset: {Severity: Refuse, Problem: "plain texts hold prompts of the golden set", Remedy: "Delete them from the training data."},
}

// order is the order in which findings are told.
var order = []string{KindMethod, KindOneLabel, KindEncode, KindEmpty, KindSameAnswers, KindPromptSplit, KindMask, KindEndOfTurn, KindTruncated, KindGolden, KindGoldenNear, KindGoldenInset, KindDuplicate, KindContradicts, KindConflict}

func (c *checker) add(kind string, r RowRef) {
	f := c.byKind[kind]
	if f == nil {
		g := about[kind]
		g.Kind = kind
		if kind == KindTruncated && c.o.Truncate {
			g.Severity, g.Remedy = Warn, "Accepted with --truncate."
		}
		f = &g
		c.byKind[kind] = f
	}
	f.Rows = append(f.Rows, r)
}

// from names the row as seen from another one: by line within one file.
func (r RowRef) from(row dlm.Row) string {
	if r.File == row.File {
		return fmt.Sprintf("line %d", r.Line)
	}
	return fmt.Sprintf("%s:%d", r.File, r.Line)
}

func ref(row dlm.Row, format string, a ...any) RowRef {
	return RowRef{ID: row.ID, File: row.File, Line: row.Line, Note: fmt.Sprintf(format, a...)}
}

// empty finds rows without content; they are not encoded.
func (c *checker) empty(row dlm.Row) bool {
	note := ""
	switch {
	case row.Kind() == dlm.RowPrompt && c.promptsAlone && strings.TrimSpace(row.RawPrompt) != "":
	case len(row.Messages) == 0 && strings.TrimSpace(row.RawCompletion) == "":
		note = "no completion"
		if row.RawPrompt == "" {
			note = "nothing in it"
		}
	case len(row.Messages) > 0:
		for i, m := range row.Messages {
			if strings.TrimSpace(m.Content) == "" && (m.Role != "system") {
				note = fmt.Sprintf("turn %d, %s, is empty", i+1, m.Role)
				break
			}
		}
	}
	if note == "" && row.Kind() == dlm.RowPair && strings.TrimSpace(rejectedText(row)) == "" {
		note = "the rejected answer is empty"
	}
	if note == "" {
		return false
	}
	c.add(KindEmpty, ref(row, "%s", note))
	return true
}

func (c *checker) encoded(row dlm.Row, enc dlm.Encoder) {
	var sides []dlm.Encoded
	for _, side := range row.Sides() {
		e, err := enc.Encode(side.Row, c.o.MaxLen)
		if err != nil {
			c.add(KindEncode, ref(row, "%s", excerpt([]byte(err.Error()), 200)))
			return
		}
		c.counted(row, side, e)
		sides = append(sides, e)
	}
	if len(sides) == 2 {
		c.pair(row, sides[0], sides[1])
	}
}

// counted looks at one answer of a row as it is encoded.
func (c *checker) counted(row dlm.Row, side dlm.Side, e dlm.Encoded) {
	trained := 0
	for i, m := range e.Mask {
		if m {
			trained++
			if e.EndOfTurn >= 0 && e.IDs[i] == e.EndOfTurn {
				c.trains = true
			}
		}
	}
	c.res.Tokens += len(e.IDs)
	c.res.Longest = max(c.res.Longest, len(e.IDs))
	c.lengths = append(c.lengths, len(e.IDs))
	if row.Kind() == dlm.RowPrompt && c.promptsAlone {
		return // what is trained is sampled
	}
	if e.EndOfTurn >= 0 && len(row.Messages) > 0 {
		c.hasEnd, c.endOfTurn = true, e.EndOfTurn
	}
	c.res.LossTokens += trained
	which := side.Name
	if which != "" {
		which += ": "
	}
	if trained == 0 {
		c.add(KindMask, ref(row, "%s%s", which, whyMask(side.Row, e)))
	}
	if e.Truncated {
		c.add(KindTruncated, ref(row, "%scut at %d tokens", which, len(e.IDs)))
	}
}

func whyMask(row dlm.Row, e dlm.Encoded) string {
	assistant := false
	for i, m := range row.Messages {
		assistant = assistant || m.Role == "assistant" && i >= row.TrainFrom
	}
	switch {
	case len(row.Messages) > 0 && !assistant:
		return "it has no assistant turn to train"
	case e.Truncated:
		return fmt.Sprintf("the prompt alone fills %d tokens", len(e.IDs))
	case row.Kind() == dlm.RowPrompt:
		return "it is a prompt without an answer"
	}
	return "the template masks all of it"
}

// duplicates compares whole prompts, the system message too.
func (c *checker) duplicates(row dlm.Row) {
	prompt, completion := row.RawPrompt, row.Completion()
	for _, m := range row.Prompt() {
		prompt += m.Role + "\n" + m.Content + "\n"
	}
	if len(row.Messages) == 0 && row.RawPrompt == "" {
		prompt, completion = row.RawCompletion, ""
	}
	key := Normalise(prompt)
	if key == "" {
		return
	}
	completion = strings.TrimSpace(completion)
	if c.opposes(row, key, completion) {
		return // several answers to one prompt are what preferences are made of
	}
	s := c.prompts[key]
	if s == nil {
		c.prompts[key] = &seen{ref(row, ""), map[string]RowRef{completion: ref(row, "")}}
		return
	}
	if first, same := s.completions[completion]; same {
		c.add(KindDuplicate, ref(row, "as %s", first.from(row)))
		return
	}
	s.completions[completion] = ref(row, "")
	c.add(KindConflict, ref(row, "%s has another", s.row.from(row)))
}

func (c *checker) leaks(row dlm.Row) {
	if len(c.golden) == 0 {
		return
	}
	var best Match
	for _, p := range Prompts(row) {
		if m := c.index.Find(p, c.o.Near); len(m) > 0 && m[0].Jaccard > best.Jaccard {
			best = m[0]
		}
	}
	switch {
	case best.Jaccard >= 1 && Normalise(c.texts[best.Text]) != "":
		c.add(KindGolden, ref(row, "golden item %s", c.golden[best.Text].ID))
	case best.Jaccard > 0 && best.Jaccard < 1:
		c.add(KindGoldenNear, ref(row, "%.0f%% the same as golden item %s", 100*best.Jaccard, c.golden[best.Text].ID))
	case len(row.Messages) == 0 && row.RawPrompt == "":
		c.inset(row)
	}
}

// inset looks for golden prompts of some length inside a plain text.
func (c *checker) inset(row dlm.Row) {
	n := " " + Normalise(row.RawCompletion) + " "
	for i, t := range c.texts {
		if g := Normalise(t); len(g) >= 24 && strings.Contains(n, " "+g+" ") {
			c.add(KindGoldenInset, ref(row, "golden item %s", c.golden[i].ID))
			return
		}
	}
}

func (c *checker) finish(rows []dlm.Row) {
	if c.hasEnd && !c.trains {
		c.add(KindEndOfTurn, ref(rows[0], "token %d", c.endOfTurn))
		c.byKind[KindEndOfTurn].Rows = nil
		c.byKind[KindEndOfTurn].Problem += fmt.Sprintf(" (token %d)", c.endOfTurn)
	}
	slices.Sort(c.lengths)
	if n := len(c.lengths); n > 0 {
		c.res.Median = c.lengths[n/2]
	}
	for _, kind := range order {
		if f := c.byKind[kind]; f != nil {
			if n := len(f.Rows); n > 0 {
				f.Problem = fmt.Sprintf("%d %s", n, f.Problem)
				if n == 1 {
					f.Problem = singular(f.Problem)
				}
			}
			c.res.Findings = append(c.res.Findings, *f)
		}
	}
}

// singular turns "1 rows are" into "1 row is".
func singular(s string) string {
	for _, p := range [][2]string{{"1 rows are", "1 row is"}, {"1 rows have", "1 row has"}, {"1 rows also stand", "1 row also stands"}, {"1 rows repeat", "1 row repeats"}, {"1 rows reject", "1 row rejects"}, {"1 rows say", "1 row says"},
		{"1 rows cannot", "1 row cannot"}, {"1 completions are", "1 completion is"}, {"1 plain texts hold", "1 plain text holds"}} {
		if rest, ok := strings.CutPrefix(s, p[0]); ok {
			return p[1] + rest
		}
	}
	return s
}

// Passing returns the rows that no refusing finding names.
func (r Result) Passing(rows []dlm.Row) []dlm.Row {
	type at struct {
		file string
		line int
		id   string
	}
	bad := map[at]bool{}
	for _, f := range r.Findings {
		if f.Severity == Refuse {
			for _, x := range f.Rows {
				bad[at{x.File, x.Line, x.ID}] = true
			}
		}
	}
	var out []dlm.Row
	for _, row := range rows {
		if !bad[at{row.File, row.Line, row.ID}] {
			out = append(out, row)
		}
	}
	return out
}
