package evals

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"dlm"
)

func TestParseGolden(t *testing.T) {
	text := "\xef\xbb\xbf" + `{"id":"a","prompt":"How much?","target":"12","tags":["x"],"cluster":"c1"}` + "\r\n\r\n" +
		`{"id":"b","messages":[{"role":"system","content":"S"},{"role":"user","content":"Q"}],"target":{"intent": "pay", "n": 1}}` + "\n" +
		`{"id":"c","prompt":"Pick","target":"B","choices":["A","B"],"tags":null}`
	items, err := ParseGolden("g.jsonl", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []dlm.Item{
		{ID: "a", Messages: []dlm.Message{{Role: "user", Content: "How much?"}}, Target: "12", Tags: []string{"x"}, Cluster: "c1", Line: 1},
		{ID: "b", Messages: []dlm.Message{{Role: "system", Content: "S"}, {Role: "user", Content: "Q"}}, Target: `{"intent":"pay","n":1}`, Line: 3},
		{ID: "c", Messages: []dlm.Message{{Role: "user", Content: "Pick"}}, Target: "B", Choices: []string{"A", "B"}, Line: 4},
	}
	if !reflect.DeepEqual(items, want) {
		t.Errorf("got  %+v\nwant %+v", items, want)
	}
}

func TestParseGoldenErrors(t *testing.T) {
	const ok = `{"id":"a","prompt":"p","target":"t"}`
	cases := []struct{ name, text, want string }{
		{"empty file", "\n\n", "g: no items"},
		{"broken JSON", ok + "\n" + `{"id":"b","prompt":`, "g:2:"},
		{"cut off", `{"id":"b"`, "not JSON"},
		{"not an object", `["a"]`, "expected a JSON object"},
		{"two objects", ok + ok, "one object a line"},
		{"unknown field", `{"id":"a","prompt":"p","target":"t","tag":["x"]}`, `g:1: field "tag": unknown; expected one of id, messages, prompt, target, tags, cluster, choices`},
		{"field twice", `{"id":"a","prompt":"p","target":"t","target":"u"}`, `field "target": stands twice`},
		{"no id", `{"prompt":"p","target":"t"}`, `field "id": missing`},
		{"id of another type", `{"id":7,"prompt":"p","target":"t"}`, `field "id": expected text, found 7`},
		{"no prompt", `{"id":"a","target":"t"}`, "no prompt"},
		{"blank prompt", `{"id":"a","prompt":" ","target":"t"}`, `field "prompt": empty`},
		{"both prompts", `{"id":"a","prompt":"p","messages":[],"target":"t"}`, "keep one"},
		{"no target", `{"id":"a","prompt":"p"}`, `field "target": missing`},
		{"role", `{"id":"a","messages":[{"role":"bot","content":"x"}],"target":"t"}`, `field "messages[0].role": "bot"`},
		{"no messages", `{"id":"a","messages":[],"target":"t"}`, `field "messages": empty`},
		{"message field", `{"id":"a","messages":[{"role":"user","text":"x"}],"target":"t"}`, `field "messages": expected a list`},
		{"answer in the prompt", `{"id":"a","messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y"}],"target":"y"}`, `put the right completion into "target"`},
		{"ends with system", `{"id":"a","messages":[{"role":"system","content":"x"}],"target":"y"}`, "must end with a user's turn"},
		{"tags", `{"id":"a","prompt":"p","target":"t","tags":"x"}`, `field "tags": expected a list of strings, found "x"`},
		{"target not a choice", `{"id":"a","prompt":"p","target":"t","choices":["a","b"]}`, `the target "t" is not among them`},
		{"one choice", `{"id":"a","prompt":"p","target":"t","choices":["t"]}`, "at least two"},
		{"choice twice", `{"id":"a","prompt":"p","target":"t","choices":["t","t"]}`, "stands twice"},
		{"id twice", ok + "\n" + `{"id":"a","prompt":"q","target":"t"}`, `g:2: id "a": already used in line 1`},
		{"prompt twice", ok + "\n" + `{"id":"b","prompt":"p","target":"u"}`, `g:2: item "b": the same prompt already stands in line 1`},
		{"not UTF-8", "{\"id\":\"a\",\"prompt\":\"p\xff\",\"target\":\"t\"}", "not UTF-8"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseGolden("g", strings.NewReader(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v; want it to hold %q", err, c.want)
			}
		})
	}
}

func TestParseGoldenTellsManyAtOnce(t *testing.T) {
	_, err := ParseGolden("g", strings.NewReader(strings.Repeat("{}\n", 50)))
	if n := strings.Count(err.Error(), "\n") + 1; n != maxProblems {
		t.Errorf("%d problems told, want %d", n, maxProblems)
	}
	if !strings.Contains(err.Error(), "g:10:") {
		t.Errorf("%v", err)
	}
}

// broken fails after some bytes, as a disk does.
type broken struct{ left int }

func (b *broken) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("input/output error")
	}
	n := copy(p, strings.Repeat(" ", min(b.left, len(p))))
	b.left -= n
	return n, nil
}

func TestParseGoldenReadErrors(t *testing.T) {
	if _, err := ParseGolden("g", &broken{100}); err == nil || !strings.Contains(err.Error(), "g:1: input/output error") {
		t.Errorf("a failing disk: %v", err)
	}
	if _, err := ParseGolden("g", io.LimitReader(endless{}, maxGoldenLine+9)); err == nil || !strings.Contains(err.Error(), "longer than 16 MiB") {
		t.Errorf("an endless line: %v", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func FuzzParseGolden(f *testing.F) {
	f.Add(`{"id":"a","prompt":"p","target":"t"}`)
	f.Add(`{"id":"a","messages":[{"role":"user","content":"x"}],"target":{"a":[1,2]},"choices":["{\"a\":[1,2]}","b"]}` + "\n")
	f.Add("\xef\xbb\xbf{}\r\n[1]\n\"\n{\"id\":\"\\ud800\"}")
	f.Fuzz(func(t *testing.T, text string) {
		items, err := ParseGolden("g", strings.NewReader(text))
		if (err == nil) == (len(items) == 0) {
			t.Fatalf("%d items with error %v", len(items), err)
		}
		ids := map[string]bool{}
		for _, it := range items {
			if it.ID == "" || ids[it.ID] || it.Line < 1 || len(it.Messages) == 0 || it.Messages[len(it.Messages)-1].Role != "user" {
				t.Fatalf("accepted %+v", it)
			}
			ids[it.ID] = true
		}
	})
}
