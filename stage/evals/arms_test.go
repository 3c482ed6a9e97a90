package evals

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dlm"
)

func row(prompt, completion string) dlm.Row {
	return dlm.Row{Messages: []dlm.Message{
		{Role: "system", Content: "S"}, {Role: "user", Content: prompt}, {Role: "assistant", Content: completion},
	}}
}

func ask(id, prompt string) dlm.Item {
	return dlm.Item{ID: id, Messages: []dlm.Message{{Role: "system", Content: "S"}, {Role: "user", Content: prompt}}}
}

func index(t testing.TB, rows ...dlm.Row) *Index {
	t.Helper()
	ix, err := NewIndex(rows)
	if err != nil {
		t.Fatal(err)
	}
	return ix
}

func completions(rows []dlm.Row) (out []string) {
	for _, r := range rows {
		out = append(out, r.Completion())
	}
	return out
}

func TestNearest(t *testing.T) {
	ix := index(t,
		row("where is my parcel", "track"),
		row("I lost my card", "card"),
		row("I lost my card", "card again"), // a tie: the file's order decides
		row("my card was stolen yesterday", "stolen"),
		row("card lost: please help", "help"),
		dlm.Row{RawCompletion: "text alone, no prompt"},
		dlm.Row{RawPrompt: "lost cards", RawCompletion: "plain"},
	)
	if ix.Len() != 6 {
		t.Errorf("%d rows indexed, want 6", ix.Len())
	}
	got := completions(ix.Nearest(ask("a", "I have lost my card"), 3))
	if !slices.Equal(got[:2], []string{"card", "card again"}) {
		t.Errorf("nearest %q", got)
	}
	for range 5 {
		if again := completions(ix.Nearest(ask("a", "I have lost my card"), 3)); !slices.Equal(again, got) {
			t.Fatalf("not deterministic: %q and %q", got, again)
		}
	}
	// The item's own prompt in the training rows is a leak, however it is written.
	leak := ask("leaky", "i LOST my card!")
	if got := completions(ix.Nearest(leak, 6)); slices.Contains(got, "card") || slices.Contains(got, "card again") {
		t.Errorf("a leak was returned: %q", got)
	}
	if ids := ix.Leaks([]dlm.Item{ask("fine", "where is it"), leak}); !slices.Equal(ids, []string{"leaky"}) {
		t.Errorf("leaks %q", ids)
	}
	if got := ix.Nearest(ask("x", "zzz qqq"), 3); len(got) != 0 {
		t.Errorf("nothing in common, yet %q", completions(got))
	}
	if _, err := NewIndex([]dlm.Row{{RawCompletion: "x"}}); err == nil {
		t.Error("rows without prompts make no index")
	}
}

// TestNearestTies: of many equally near rows the first of the file come first.
func TestNearestTies(t *testing.T) {
	var rows []dlm.Row
	for i := range 60 {
		rows = append(rows, row("card lost", fmt.Sprint(i)), row(fmt.Sprintf("other %d card", i), "x"))
	}
	got := completions(index(t, rows...).Nearest(ask("a", "lost card"), 60))
	for i, c := range got {
		if c != fmt.Sprint(i) {
			t.Fatalf("place %d holds row %s of equals", i, c)
		}
	}
}

func TestFewShotPrompt(t *testing.T) {
	ix := index(t, row("lost my card today", "nearer"), row("card", "far"), row("parcel", "never"))
	arm, err := NewArm(ArmSpec{Kind: "few-shot", Shots: 2}, ix)
	if err != nil {
		t.Fatal(err)
	}
	got := arm.Prompt(ask("a", "I lost my card"))
	want := []dlm.Message{
		{Role: "system", Content: "S"},
		{Role: "user", Content: "card"}, {Role: "assistant", Content: "far"},
		{Role: "user", Content: "lost my card today"}, {Role: "assistant", Content: "nearer"},
		{Role: "user", Content: "I lost my card"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("prompt %+v", got)
	}
	if arm.Name != "few-shot-2" || arm.Shots != 2 {
		t.Errorf("%+v", arm)
	}
	noSystem := dlm.Item{Messages: []dlm.Message{{Role: "user", Content: "I lost my card"}}}
	if got := arm.Prompt(noSystem); got[0].Role != "user" || len(got) != 5 {
		t.Errorf("without a system message: %+v", got)
	}
}

func TestParseArm(t *testing.T) {
	for in, want := range map[string]string{
		"zero-shot": "zero-shot", "few-shot-4": "few-shot-4", "few-shot: 8": "few-shot-8", " few-shot=1": "few-shot-1",
		"nearest-copy": "nearest-copy", "linear": "linear",
	} {
		if s, err := ParseArm(in); err != nil || s.String() != want {
			t.Errorf("%q: %v, %v", in, s, err)
		}
	}
	for _, in := range []string{"", "few-shot", "few-shot-0", "few-shot-x", "few-shot-65", "one-shot"} {
		if s, err := ParseArm(in); err == nil {
			t.Errorf("%q accepted as %+v", in, s)
		}
	}
	for _, spec := range []ArmSpec{{Kind: "few-shot", Shots: 2}, {Kind: "nearest-copy"}, {Kind: "linear"}, {Kind: "other"}} {
		if _, err := NewArm(spec, nil); err == nil {
			t.Errorf("%v without training rows accepted", spec)
		}
	}
	if _, err := NewArm(ArmSpec{Kind: "few-shot"}, index(t, row("a b", "c"))); err == nil {
		t.Error("few-shot without a number accepted")
	}
}

func TestLinearAnswers(t *testing.T) {
	linearOn := func(rows ...dlm.Row) (Arm, error) { return NewArm(ArmSpec{Kind: "linear"}, index(t, rows...)) }
	answer := func(a Arm, prompt string) string { return a.answer(ask("q", prompt)) }

	// The route belongs to the intent; the name does not.
	arm, err := linearOn(
		row("lost my card", `{"intent": "lost", "route": "cards", "name": "Ann"}`),
		row("card lost again", `{"intent": "lost", "route": "cards", "name": "Bo"}`),
		row("where is the parcel", `{"intent": "track", "route": "post"}`),
		row("parcel not here", `{"intent": "track", "route": "post"}`),
	)
	if err != nil {
		t.Fatal(err)
	}
	if got := answer(arm, "I lost a card"); got != `{"intent": "lost", "route": "cards"}` {
		t.Errorf("got %s", got)
	}
	if got := answer(arm, "my parcel"); got != `{"intent": "track", "route": "post"}` {
		t.Errorf("got %s", got)
	}
	if arm.UsesModel() {
		t.Error("linear asks no model")
	}
	// Plain labels.
	arm, err = linearOn(row("good film", "positive"), row("great film", "positive"), row("bad film", "negative"), row("awful film", "negative"))
	if err != nil {
		t.Fatal(err)
	}
	if got := answer(arm, "an awful bad one"); got != "negative" {
		t.Errorf("got %s", got)
	}
	for name, c := range map[string]struct {
		rows []dlm.Row
		want string
	}{
		"free text":  {[]dlm.Row{row("a b", "one"), row("c d", "two"), row("e f", "three")}, "leave it out"},
		"one label":  {[]dlm.Row{row("a b", `{"intent":"x"}`), row("c d", `{"intent":"x"}`)}, "nothing to tell apart"},
		"no intent":  {[]dlm.Row{row("a b", `{"label":"x"}`), row("c d", `{"label":"y"}`)}, `no text field "intent"`},
		"some prose": {[]dlm.Row{row("a b", `{"intent":"x"}`), row("c d", "hello")}, "all or none"},
	} {
		if _, err := linearOn(c.rows...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
