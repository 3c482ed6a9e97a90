package curate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"dlm"
)

func row(line int, msgs ...dlm.Message) dlm.Row {
	return dlm.Row{ID: fmt.Sprintf("r%d", line), File: "f.jsonl", Line: line, Messages: msgs}
}

func goldenItem(id, q string) dlm.Item {
	return dlm.Item{ID: id, Messages: []dlm.Message{sys("s"), u(q)}, Target: "x"}
}

func TestCheck(t *testing.T) {
	ok := row(1, u("Where is my card?"), a("On its way."))
	long := "Please tell me where the parcel is that I ordered three weeks ago from your shop in Leeds"
	for _, c := range []struct {
		name   string
		rows   []dlm.Row
		golden []dlm.Item
		enc    fakeEncoder
		opts   CheckOptions
		want   string // kinds
		lines  []int  // of the first finding
		refuse bool
	}{
		{name: "nothing wrong", rows: []dlm.Row{ok, row(2, u("Other?"), a("Yes."))}},
		{name: "no rows", want: KindEmpty, refuse: true},
		{name: "no assistant turn", rows: []dlm.Row{ok, row(2, u("Other?"))}, want: KindMask, lines: []int{2}, refuse: true},
		{name: "nothing trained", rows: []dlm.Row{ok, {ID: "x", Line: 2, File: "f", Messages: []dlm.Message{u("Other?"), a("x")}, TrainFrom: 2}}, want: KindMask, lines: []int{2}, refuse: true},
		{name: "empty answer", rows: []dlm.Row{ok, row(2, u("Other?"), a(" \n"))}, want: KindEmpty, lines: []int{2}, refuse: true},
		{name: "empty question", rows: []dlm.Row{ok, row(2, u(""), a("x"))}, want: KindEmpty, lines: []int{2}, refuse: true},
		{name: "empty row", rows: []dlm.Row{ok, row(2)}, want: KindEmpty, lines: []int{2}, refuse: true},
		{name: "empty text", rows: []dlm.Row{ok, {ID: "x", Line: 2, File: "f", RawPrompt: "q"}}, want: KindEmpty, lines: []int{2}, refuse: true},
		{name: "cannot be rendered", rows: []dlm.Row{ok, row(2, dlm.Message{Role: "tool", Content: "x"})}, want: KindEncode, lines: []int{2}, refuse: true},
		{name: "end of turn never trained", rows: []dlm.Row{ok}, enc: fakeEncoder{noEnd: true}, want: KindEndOfTurn, refuse: true},
		{name: "completion cut", rows: []dlm.Row{ok, row(2, u("Other?"), a("A long answer that goes on and on and on."))}, opts: CheckOptions{MaxLen: 50}, want: KindTruncated, lines: []int{2}, refuse: true},
		{name: "completion cut, accepted", rows: []dlm.Row{ok, row(2, u("Other?"), a("A long answer that goes on and on and on."))}, opts: CheckOptions{MaxLen: 50, Truncate: true}, want: KindTruncated, lines: []int{2}},
		{name: "prompt fills it", rows: []dlm.Row{ok, row(2, u(long), a("x"))}, opts: CheckOptions{MaxLen: 50, Truncate: true}, want: KindMask + " " + KindTruncated, lines: []int{2}, refuse: true},
		{name: "duplicate", rows: []dlm.Row{ok, row(2, u("where is my CARD"), a("On its way."))}, want: KindDuplicate, lines: []int{2}, refuse: true},
		{name: "conflict", rows: []dlm.Row{ok, row(2, u("where is my card"), a("Lost."))}, want: KindConflict, lines: []int{2}},
		{name: "another system message is another prompt", rows: []dlm.Row{ok, row(2, sys("Be rude."), u("where is my card"), a("Lost."))}},
		{name: "same texts", rows: []dlm.Row{{ID: "x", Line: 1, File: "f", RawCompletion: "One text."}, {ID: "y", Line: 2, File: "f", RawCompletion: "one text"}}, want: KindDuplicate, lines: []int{2}, refuse: true},
		{name: "golden", rows: []dlm.Row{ok, row(2, sys("other"), u("WHO are you?!"), a("x"))}, golden: []dlm.Item{goldenItem("g1", "who are you")}, want: KindGolden, lines: []int{2}, refuse: true},
		{name: "golden as an earlier turn", rows: []dlm.Row{ok, row(2, u("Who are you?"), a("x"), u("And now?"), a("y"))}, golden: []dlm.Item{goldenItem("g1", "who are you")}, want: KindGolden, lines: []int{2}, refuse: true},
		{name: "golden in an earlier turn that is not trained", rows: []dlm.Row{ok, {ID: "x", Line: 2, File: "f", Messages: []dlm.Message{u("Who are you?"), a("x"), u("And now?"), a("y")}, TrainFrom: 3}}, golden: []dlm.Item{goldenItem("g1", "who are you")}},
		{name: "almost golden", rows: []dlm.Row{ok, row(2, u(long+"."), a("x")), row(3, u(long+" s"), a("x"))}, golden: []dlm.Item{goldenItem("g1", long)}, want: KindGolden + " " + KindGoldenNear, lines: []int{2}, refuse: true},
		{name: "almost golden, equal ones only", rows: []dlm.Row{ok, row(3, u(long+" s"), a("x"))}, golden: []dlm.Item{goldenItem("g1", long)}, opts: CheckOptions{Near: 1}},
		{name: "golden inside a text", rows: []dlm.Row{{ID: "x", Line: 4, File: "f", RawCompletion: "A text of some length comes first. Q: " + long + "? A: no, it is not here, and more."}}, golden: []dlm.Item{goldenItem("g1", long)}, want: KindGoldenInset, lines: []int{4}, refuse: true},
		{name: "numbers differ", rows: []dlm.Row{ok, row(2, u("What is 3-4?"), a("x"))}, golden: []dlm.Item{goldenItem("g1", "What is 34?"), goldenItem("g2", "What is 3.4?"), goldenItem("g3", "What is 3+4?")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			res, err := Check(context.Background(), c.rows, c.enc, c.golden, c.opts)
			if err != nil {
				t.Fatal(err)
			}
			var kinds []string
			for _, f := range res.Findings {
				kinds = append(kinds, f.Kind)
				if f.Remedy == "" || f.Problem == "" {
					t.Errorf("no remedy: %+v", f)
				}
			}
			if got := strings.Join(kinds, " "); got != c.want || res.Refused() != c.refuse || (res.Err() != nil) != c.refuse {
				t.Fatalf("found %q, refused %v; want %q, %v\n%+v", got, res.Refused(), c.want, c.refuse, res.Findings)
			}
			if c.lines != nil {
				var lines []int
				for _, r := range res.Findings[0].Rows {
					lines = append(lines, r.Line)
				}
				if !slices.Equal(lines, c.lines) {
					t.Errorf("lines %v, want %v", lines, c.lines)
				}
			}
			// The rows that pass must pass.
			if c.refuse && c.enc == (fakeEncoder{}) {
				if pass := res.Passing(c.rows); len(pass) > 0 {
					if again, _ := Check(context.Background(), pass, c.enc, c.golden, c.opts); again.Refused() {
						t.Errorf("the passing rows are refused: %v", again.Err())
					}
				}
			}
		})
	}
}

func TestCheckCounts(t *testing.T) {
	res, err := Check(context.Background(), []dlm.Row{row(1, u("ab"), a("cde"))}, fakeEncoder{}, nil, CheckOptions{})
	// start "user\n" ab end \n start "assistant\n" cde end \n
	if err != nil || res.Tokens != 1+5+2+1+1+1+10+3+1+1 || res.LossTokens != 4 || res.Longest != res.Tokens || res.Median != res.Tokens {
		t.Errorf("%+v, %v", res, err)
	}
	if _, err := Check(cancelled(), []dlm.Row{row(1, u("a"), a("b"))}, fakeEncoder{}, nil, CheckOptions{}); err == nil {
		t.Error("a cancelled check went on")
	}
}

func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestNormalise(t *testing.T) {
	for in, want := range map[string]string{
		"Where's my CARD?!":   "wheres my card",
		"  a\n\tb  ":          "a b",
		"Ｆｕｌｌ　width":          "full width",
		"costs $3.50, or 10%": "costs $3.50 or 10%",
		"-5 and 5":            "-5 and 5",
		"It is 7.":            "it is 7",
		"\ufb01ne \u2019tis":  "fine tis",
		"?!":                  "",
		"a-b":                 "a b",
		"e\u0301 \u00e9":      "\u00e9 \u00e9",
	} {
		if got := Normalise(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
		if twice := Normalise(want); twice != want {
			t.Errorf("%q normalises again to %q", want, twice)
		}
	}
}

// The prefix filter must miss nothing that comparing all pairs finds.
func TestIndexFindsWhatAllPairsFind(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("where is my card the refund has not arrived please tell me how to change address of account and when will it be here because i need")
	var texts []string
	for range 120 {
		var s []string
		for range 4 + rng.IntN(20) {
			s = append(s, words[rng.IntN(len(words))])
		}
		texts = append(texts, strings.Join(s, " "))
	}
	x := NewIndex(texts)
	found := 0
	for range 600 {
		f := strings.Fields(texts[rng.IntN(len(texts))])
		for range rng.IntN(3) { // change a few words
			f[rng.IntN(len(f))] = words[rng.IntN(len(words))]
		}
		q := strings.Join(f, " ")
		for _, threshold := range []float64{0.6, 0.9} {
			want := map[int]bool{}
			set := x.telling(x.shingles(Normalise(q)))
			for i := range texts {
				if Normalise(q) == Normalise(texts[i]) || jaccard(set, x.sets[i]) >= threshold {
					want[i] = true
				}
			}
			got := x.Find(q, threshold)
			found += len(got)
			if len(got) != len(want) {
				t.Fatalf("%q at %v: found %v, want %v", q, threshold, got, want)
			}
			for i, m := range got {
				if !want[m.Text] || m.Jaccard < threshold || i > 0 && m.Jaccard > got[i-1].Jaccard {
					t.Errorf("%q: %+v", q, got)
				}
			}
		}
	}
	// At exactly the similarity of a pair, the pair must still be found: here a
	// filter that is one shingle short fails.
	for i, a := range texts {
		for _, b := range texts[:i] {
			x := NewIndex([]string{b})
			j := jaccard(x.shingles(Normalise(a)), x.sets[0])
			if j > 0 && len(x.Find(a, j)) == 0 {
				t.Fatalf("%q and %q are %v the same and not found", a, b, j)
			}
		}
	}
	// The same with a pair made for it: the shared shingles are the commonest.
	rest := []string{"bbbbbbbb qqqqqqqq", "bbbbbbbb rrrrrrrr", "bbbbbbbb ssssssss"}
	y := NewIndex(append([]string{"bbbbbbbb tttttttt"}, rest...))
	q := "bbbbbbbb uuuuuuuu"
	if j := jaccard(y.shingles(q), y.sets[0]); len(y.Find(q, j)) != 4 {
		t.Errorf("found %v at %v", y.Find(q, j), j)
	}
	if found < 600 {
		t.Errorf("only %d found: the test tests little", found)
	}
}

// A long instruction that every prompt begins with must not make all of them
// look alike.
func TestIndexLeavesOutWhatAllShare(t *testing.T) {
	instruction := "You are the assistant of an insurance company. Classify the following message of a customer into one of the intents that we know, and answer with its name alone, in lower case, without any other word, mark or explanation before or after it; when none of them fits, answer that it is unknown. Message: "
	var texts []string
	for i := range 12 {
		texts = append(texts, instruction+strings.Repeat(string(rune('a'+i)), 8)+" question")
	}
	x := NewIndex(texts)
	if m := x.Find(instruction+"something else entirely", 0.9); len(m) != 0 {
		t.Errorf("found %+v", m)
	}
	if m := x.Find(texts[3]+"!", 0.9); len(m) != 1 || m[0].Text != 3 {
		t.Errorf("found %+v, want text 3", m)
	}
}

func TestPreview(t *testing.T) {
	r := row(3, u("Hi\x1b[31m\nthere"), a("Yo [x]"))
	e, _ := fakeEncoder{}.Encode(r, 0)
	var plain, colour strings.Builder
	if err := Preview(&plain, fakeEncoder{}, r, e, Style{}); err != nil {
		t.Fatal(err)
	}
	want := "f.jsonl:3  r3  40 tokens, 7 in the loss\n<|im_start|>user⏎\nHi␛[31m⏎\nthere<|im_end|>⏎\n<|im_start|>assistant⏎\n[[Yo [x]<|im_end|>]]⏎\n\n"
	if plain.String() != want {
		t.Errorf("%q\nwant\n%q", plain.String(), want)
	}
	if err := Preview(&colour, fakeEncoder{}, r, e, Style{Colour: true}); err != nil {
		t.Fatal(err)
	}
	if s := colour.String(); !strings.Contains(s, ansiTrained+"Yo [x]<|im_end|>"+ansiReset) || strings.Contains(s, "\x1b[31m") {
		t.Errorf("%q", s)
	}
}

func TestWriteResult(t *testing.T) {
	var rows []dlm.Row
	for i := range 12 {
		rows = append(rows, row(i+1, u("same"), a("same")))
	}
	res, err := Check(context.Background(), rows, fakeEncoder{}, nil, CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := WriteResult(&b, res, Style{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"12 rows,", "refuse  11 rows repeat an earlier row", "f.jsonl:2", "as line 1", "and 3 more", "Delete them"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("does not say %q:\n%s", want, b.String())
		}
	}
}
