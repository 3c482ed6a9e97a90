package curate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dlm"

	"github.com/google/go-cmp/cmp"
)

func write(t testing.TB, name, text string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

func u(s string) dlm.Message { return dlm.Message{Role: "user", Content: s} }
func a(s string) dlm.Message { return dlm.Message{Role: "assistant", Content: s} }
func sys(s string) dlm.Message {
	return dlm.Message{Role: "system", Content: s}
}

func TestReadShapes(t *testing.T) {
	chat := dlm.Row{Messages: []dlm.Message{u("q"), a("a")}}
	for _, c := range []struct {
		name, file, text string
		format           Format
		want             []dlm.Row
	}{
		{"messages", "x.jsonl", `{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}`, Messages, []dlm.Row{chat}},
		{"messages with parts", "x.jsonl", `{"messages":[{"role":"user","content":[{"type":"text","text":"q"}]},{"role":"assistant","content":"a"}]}`, Messages, []dlm.Row{chat}},
		{"messages with weights", "x.jsonl", `{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a","weight":0},{"role":"user","content":"r"},{"role":"assistant","content":"b","weight":1}]}`, Messages,
			[]dlm.Row{{Messages: []dlm.Message{u("q"), a("a"), u("r"), a("b")}, TrainFrom: 3}}},
		{"sharegpt", "x.jsonl", `{"conversations":[{"from":"system","value":"s"},{"from":"human","value":"q"},{"from":"gpt","value":"a"}]}`, ShareGPT, []dlm.Row{{Messages: []dlm.Message{sys("s"), u("q"), a("a")}}}},
		{"sharegpt with system apart", "x.json", `[{"system":"s","conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]}]`, ShareGPT, []dlm.Row{{Messages: []dlm.Message{sys("s"), u("q"), a("a")}}}},
		{"alpaca", "x.json", `[{"instruction":"q","input":"","output":"a"},
 {"instruction":"i","input":"n","output":"o"}]`, Alpaca, []dlm.Row{chat, {Messages: []dlm.Message{u("i\n\nn"), a("o")}}}},
		{"alpaca with history", "x.jsonl", `{"instruction":"r","output":"b","history":[["q","a"]]}`, Alpaca, []dlm.Row{{Messages: []dlm.Message{u("q"), a("a"), u("r"), a("b")}, TrainFrom: 2}}},
		{"trl text", "x.jsonl", `{"prompt":"q","completion":"a"}`, PromptCompletion, []dlm.Row{{RawPrompt: "q", RawCompletion: "a"}}},
		{"trl conversational", "x.jsonl", `{"prompt":[{"role":"system","content":"s"},{"role":"user","content":"q"}],"completion":[{"role":"assistant","content":"a"}]}`, PromptCompletion,
			[]dlm.Row{{Messages: []dlm.Message{sys("s"), u("q"), a("a")}, TrainFrom: 2}}},
		{"text", "x.jsonl", `{"text":"some text"}`, Text, []dlm.Row{{RawCompletion: "some text"}}},
		{"question and answer", "x.jsonl", `{"question":"q","answer":"a"}`, Pairs, []dlm.Row{chat}},
		{"csv", "x.csv", "text,category\nq,a\n", Pairs, []dlm.Row{chat}},
		{"csv with quotes", "x.csv", "question,answer\n\"a, \"\"b\"\"\nc\",\"d\"\n", Pairs, []dlm.Row{{Messages: []dlm.Message{u("a, \"b\"\nc"), a("d")}}}},
		{"csv with semicolons", "x.csv", "Question;Answer\nq;a\n", Pairs, []dlm.Row{chat}},
		{"csv of prompts", "x.csv", "prompt,completion\nq,a\n", Pairs, []dlm.Row{chat}},
		{"tsv", "x.tsv", "utterance\tintent\nq\ta\n", Pairs, []dlm.Row{chat}},
		{"tsv with stray quotes", "x.tsv", "utterance\tintent\n\"q\ta\n", Pairs, []dlm.Row{{Messages: []dlm.Message{u(`"q`), a("a")}}}},
		{"tsv that quotes", "x.tsv", "utterance\tintent\n\"q\tr\"\ta\n", Pairs, []dlm.Row{{Messages: []dlm.Message{u("q\tr"), a("a")}}}},
		{"byte order mark", "x.jsonl", "\xef\xbb\xbf" + `{"question":"q","answer":"a"}`, Pairs, []dlm.Row{chat}},
		{"byte order mark csv", "x.csv", "\xef\xbb\xbfquestion,answer\r\nq,a\r\n", Pairs, []dlm.Row{chat}},
		{"crlf and blank lines", "x.jsonl", "\r\n{\"question\":\"q\",\"answer\":\"a\"}\r\n\r\n", Pairs, []dlm.Row{chat}},
		{"jsonl called json", "x.json", "{\"question\":\"q\",\"answer\":\"a\"}\n{\"question\":\"r\",\"answer\":\"b\"}\n", Pairs, []dlm.Row{chat, {Messages: []dlm.Message{u("r"), a("b")}}}},
		{"array called jsonl is refused below", "x.json", "[\n]", "", nil},
		{"number as completion", "x.jsonl", `{"question":"q","answer":42}`, Pairs, []dlm.Row{{Messages: []dlm.Message{u("q"), a("42")}}}},
		{"null is missing", "x.jsonl", `{"instruction":"q","input":null,"output":"a","system":null}`, Alpaca, []dlm.Row{chat}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := write(t, c.file, c.text)
			rows, err := Read(p, Options{})
			if c.want == nil {
				if err == nil {
					t.Fatalf("accepted: %+v", rows)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			d, err := Detect(p)
			if err != nil || d.Format != c.format || len(d.Evidence) == 0 {
				t.Errorf("detected %+v, %v", d, err)
			}
			for i := range rows {
				if rows[i].File != p || rows[i].Line == 0 || rows[i].ID == "" {
					t.Errorf("row %d: no place: %+v", i, rows[i])
				}
				rows[i].File, rows[i].Line, rows[i].ID = "", 0, ""
			}
			if diff := cmp.Diff(c.want, rows); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadOptions(t *testing.T) {
	p := write(t, "x.csv", "a,b,c\nq,x,r\n")
	if _, err := Read(p, Options{}); err == nil || !strings.Contains(err.Error(), "data.prompt") {
		t.Errorf("columns without known names: %v", err)
	}
	rows, err := Read(p, Options{Prompt: "a", Completion: "c", System: "s"})
	if err != nil || len(rows) != 1 || !cmp.Equal(rows[0].Messages, []dlm.Message{sys("s"), u("q"), a("r")}) {
		t.Errorf("%+v, %v", rows, err)
	}
	if _, err := Read(p, Options{Prompt: "a", Completion: "zz"}); err == nil || !strings.Contains(err.Error(), "one of a, b, c") {
		t.Errorf("a column that is not there: %v", err)
	}
	p = write(t, "x.jsonl", `{"prompt":[{"role":"user","content":"q"}],"completion":[{"role":"assistant","content":"a"}],"id":7,"tags":["x"],"cluster":"k"}`)
	recs, _, err := ReadRecords(p, Options{System: "s"})
	if err != nil || recs[0].Row.TrainFrom != 2 || recs[0].Row.ID != "7" || recs[0].Cluster != "k" || recs[0].Row.Tags[0] != "x" || recs[0].Raw == nil {
		t.Errorf("%+v, %v", recs, err)
	}
	if rows, err := Read(write(t, "x.jsonl", `{"text":"t","question":"q","answer":"a"}`), Options{Format: Text}); err != nil || rows[0].RawCompletion != "t" {
		t.Errorf("format as asked: %+v, %v", rows, err)
	}
}

func TestReadErrors(t *testing.T) {
	good := `{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}` + "\n"
	for _, c := range []struct {
		name, file, text string
		line             int
		field            string
		says             []string
	}{
		{"broken line", "x.jsonl", good + `{"messages":[{"role":"user"` + "\n" + good, 2, "", []string{"not valid JSON", "mend or delete", `{"messages":[{"role":"user"`}},
		{"not an object", "x.jsonl", good + "[1]\n", 2, "", []string{"not a JSON object"}},
		{"two objects a line", "x.jsonl", good + `{"a":1}{"b":2}` + "\n", 2, "", []string{"not valid JSON"}},
		{"not utf-8", "x.jsonl", good + "{\"messages\":\"\xe9\"}\n", 2, "", []string{"not UTF-8", "iconv"}},
		{"field missing", "x.jsonl", good + `{"text":"x"}` + "\n", 2, "messages", []string{"is missing", "this row has text"}},
		{"unknown role", "x.jsonl", good + `{"messages":[{"role":"tool","content":"x"}]}` + "\n", 2, "messages[0].role", []string{`"tool" is not known`, "system, user or assistant"}},
		{"content missing", "x.jsonl", good + `{"messages":[{"role":"user"}]}` + "\n", 2, "messages[0].content", []string{"is missing"}},
		{"content is a record", "x.jsonl", good + `{"messages":[{"role":"user","content":{"a":1}}]}` + "\n", 2, "messages[0].content", []string{"is an object", "its JSON as text"}},
		{"tool call", "x.jsonl", good + `{"messages":[{"role":"assistant","tool_calls":[]}]}` + "\n", 2, "messages[0].tool_calls", []string{"cannot be trained on"}},
		{"image part", "x.jsonl", good + `{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}` + "\n", 2, "messages[0].content[0].type", []string{"image_url"}},
		{"messages is text", "x.jsonl", good + `{"messages":"x"}` + "\n", 2, "messages", []string{"is text"}},
		{"weight in the middle", "x.jsonl", good + `{"messages":[{"role":"assistant","content":"a"},{"role":"assistant","content":"b","weight":0}]}` + "\n", 2, "messages[1].weight", []string{"split the conversation"}},
		{"doubled key", "x.jsonl", good + `{"messages":[],"messages":[]}` + "\n", 2, "", []string{"comes twice"}},
		{"half a surrogate", "x.jsonl", good + `{"messages":[{"role":"user","content":"\ud83d"}]}` + "\n", 2, "messages[0].content", []string{"surrogate"}},
		{"doubled id", "x.jsonl", `{"text":"a","id":"1"}` + "\n" + `{"text":"b","id":"1"}` + "\n", 2, "id", []string{"line 1"}},
		{"mixed prompt", "x.jsonl", `{"prompt":"q","completion":"a"}` + "\n" + `{"prompt":"q","completion":[]}` + "\n", 2, "completion", []string{"both text"}},
		{"csv columns", "x.csv", "question,answer\nq,a\nq,a,b\n", 3, "", []string{"has 3 columns", "2, as in the header"}},
		{"csv quotes", "x.csv", "question,answer\nq,\"a\n", 2, "", []string{"not valid CSV"}},
		{"csv header", "x.csv", "a,a\nq,a\n", 1, "a", []string{"two columns"}},
		{"json in the middle", "x.json", "[\n" + `{"question":"q","answer":"a"},` + "\n{broken}\n]", 3, "", []string{"not valid JSON"}},
		{"json not closed", "x.json", "[\n" + `{"question":"q","answer":"a"}` + "\n", 0, "", []string{"not valid JSON"}},
		{"preference of two kinds", "x.jsonl", `{"prompt":"q","chosen":"a","rejected":[]}`, 1, "rejected", []string{"both text"}},
		{"preference without rejected", "x.jsonl", `{"prompt":"q","chosen":"a","rejected":"b"}` + "\n" + `{"prompt":"q","chosen":"a"}` + "\n" + `{"prompt":"r","chosen":"a","rejected":"b"}`, 2, "rejected", []string{"is missing"}},
		{"preference, rejected empty", "x.jsonl", `{"prompt":"q","chosen":"a","rejected":""}`, 1, "rejected", []string{"is empty"}},
		{"preference, two turns", "x.jsonl", `{"prompt":[{"role":"user","content":"q"}],"chosen":[{"role":"assistant","content":"a"},{"role":"user","content":"b"}],"rejected":[{"role":"assistant","content":"c"}]}`, 1, "chosen", []string{"[assistant, user]", "one assistant turn"}},
		{"preference without common prompt", "x.jsonl", `{"chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"rejected":[{"role":"user","content":"r"},{"role":"assistant","content":"b"}]}`, 1, "chosen", []string{"no turn in common"}},
		{"preference texts without common prompt", "x.jsonl", `{"chosen":"yes","rejected":"no"}`, 1, "chosen", []string{"no beginning in common"}},
		{"label is a number", "x.jsonl", `{"prompt":"q","completion":"a","label":true}` + "\n" + `{"prompt":"q","completion":"b","label":1}`, 2, "label", []string{"true (liked)"}},
		{"label missing", "x.jsonl", `{"prompt":"q","completion":"a","label":true}` + "\n" + `{"prompt":"q","completion":"b","label":null}`, 2, "label", []string{"is missing"}},
		{"prompt that is answered", "x.jsonl", `{"prompt":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}`, 1, "prompt", []string{"end with the user's"}},
		{"golden set", "x.jsonl", `{"id":"1","prompt":"q","target":"a"}`, 0, "", []string{"golden set"}},
		{"wrapped", "x.json", `{"version":1,"data":[{"a":1}]}`, 0, "", []string{`arrays under "data"`}},
		{"wrapped over lines", "x.json", "{\n" + `"version":1,"data":[{"a":1}]}`, 1, "", []string{`arrays under "data"`}},
		{"utf-16", "x.csv", "\xff\xfea\x00", 0, "", []string{"UTF-16", "iconv"}},
		{"parquet", "x.parquet", "PAR1xxxx", 0, "", []string{"Parquet"}},
		{"zip", "x.xlsx", "PK\x03\x04xxxx", 0, "", []string{"Excel"}},
		{"gzip", "x.jsonl.gz", "\x1f\x8bxxxx", 0, "", []string{"gunzip"}},
		{"binary", "x.jsonl", "{\x00}", 0, "", []string{"binary"}},
		{"empty", "x.jsonl", "\n\n", 0, "", []string{"holds no rows"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := write(t, c.file, c.text)
			_, err := Read(p, Options{})
			if c.line < 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var e *RowError
			if !errors.As(err, &e) {
				t.Fatalf("no RowError: %v", err)
			}
			if c.line > 0 && e.Line != c.line || c.field != "" && e.Field != c.field {
				t.Errorf("line %d field %q, want %d %q: %v", e.Line, e.Field, c.line, c.field, err)
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("does not say %q: %v", s, err)
				}
			}
			if e.File != p {
				t.Errorf("names file %q", e.File)
			}
		})
	}
	if _, err := Read(t.TempDir(), Options{}); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Errorf("a folder: %v", err)
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// One broken line loses nothing else.
func TestReadKeepsTheRest(t *testing.T) {
	var b strings.Builder
	for i := range 100 {
		if i%4 == 3 {
			b.WriteString("{broken\n")
		} else {
			fmt.Fprintf(&b, `{"question":"q%d","answer":"a"}`+"\n", i)
		}
	}
	rows, err := Read(write(t, "x.jsonl", b.String()), Options{})
	var re *ReadError
	if len(rows) != 75 || !errors.As(err, &re) || re.Rows != 75 || len(re.Errors) != maxErrors || re.More != 5 || rows[3].Line != 5 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

func TestReadHugeLine(t *testing.T) {
	long := strings.Repeat("long text ", 400_000) // 4 MB
	rows, err := Read(write(t, "x.jsonl", `{"question":"`+long+`","answer":"a"}`+"\n"+`{"question":"q","answer":"a"}`), Options{})
	if err != nil || len(rows) != 2 || rows[0].Messages[0].Content != long || rows[1].Line != 2 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

// What is written is read back as the same rows.
func TestWriteRoundTrip(t *testing.T) {
	yes, no := true, false
	for _, want := range [][]dlm.Row{
		{{Messages: []dlm.Message{sys("s"), u("q <&> \u2028 \"x\""), a("{\"a\": 1}\n")}}, {Messages: []dlm.Message{u("q"), a("b")}, Tags: []string{"t"}}},
		{{Messages: []dlm.Message{u("q"), a("x"), u("r"), a("b")}, TrainFrom: 3}},
		{{RawPrompt: "p", RawCompletion: "c"}},
		{{RawCompletion: "text"}},
		{{Messages: []dlm.Message{sys("s"), u("q"), a("a")}, TrainFrom: 2, Rejected: []dlm.Message{a("b")}, Tags: []string{"t"}}},
		{{RawPrompt: "p", RawCompletion: " a", RawRejected: " b"}},
		{{Messages: []dlm.Message{u("q"), a("a")}, TrainFrom: 1, Label: &yes}, {RawPrompt: "p", RawCompletion: "c", Label: &no}},
		{{Messages: []dlm.Message{u("q")}, TrainFrom: 1}},
		{{RawPrompt: "p"}},
	} {
		for i := range want {
			want[i].ID = fmt.Sprint(i)
		}
		p := filepath.Join(t.TempDir(), "out.jsonl")
		if err := WriteFile(p, want); err != nil {
			t.Fatal(err)
		}
		got, err := Read(p, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			got[i].File, got[i].Line = "", 0
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"", "{}", `{"messages":[{"role":"user","content":"q"}]}`, `[{"instruction":"a","output":"b"}]`, "a,b\n1,2", "a\tb\n\"1\t2", "\xef\xbb\xbf{\"text\":\"x\"}",
		`{"conversations":[{"from":"human","value":"\ud800"}]}`, `{"prompt":[],"completion":[]}`, `{"a":{"a":[1,{"b":null}]}}`, "[1,2", `{"messages":[[]]}`, `{"messages":[ ]}`,
		`{"prompt":"p","chosen":"a","rejected":"b"}`, `{"chosen":"x a","rejected":"x b"}`, `{"prompt":[{"role":"user","content":"q"}],"completion":[{"role":"assistant","content":"a"}],"label":false}`,
		`{"chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"rejected":[{"role":"user","content":"q"},{"role":"assistant","content":"b"}]}`, `{"prompt":"p"}`,
		`{"chosen":[],"rejected":[]}`, `{"prompt":[],"chosen":[],"rejected":[]}`} {
		f.Add([]byte(s), "jsonl")
		f.Add([]byte(s), "json")
		f.Add([]byte(s), "csv")
		f.Add([]byte(s), "tsv")
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte, ext string) {
		if strings.ContainsAny(ext, "/\x00") || len(ext) > 20 {
			return
		}
		p := filepath.Join(dir, "f."+ext)
		if os.WriteFile(p, b, 0o644) != nil {
			return
		}
		rows, err := Read(p, Options{})
		if err == nil && len(rows) == 0 {
			t.Error("no rows and no error")
		}
		res, cerr := Check(t.Context(), rows, fakeEncoder{}, []dlm.Item{{ID: "g", Messages: []dlm.Message{u("q")}}}, CheckOptions{MaxLen: 64})
		if cerr != nil || res.Rows != len(rows) {
			t.Errorf("check: %+v, %v", res, cerr)
		}
		for _, r := range rows {
			var s strings.Builder
			_ = PreviewRow(&s, fakeEncoder{}, r, 0, Style{Colour: true})
			// What is read is written and read back as the same row, if it is one that can be trained on.
			line, werr := EncodeRow(r)
			if werr != nil || r.Kind() == dlm.RowAnswer || r.Kind() == dlm.RowText || strings.TrimSpace(r.RawPrompt) == "" && len(r.Messages) == 0 {
				continue
			}
			again, rerr := Read(write(t, "again.jsonl", string(line)), Options{})
			if rerr != nil || len(again) != 1 || again[0].Kind() != r.Kind() || !cmp.Equal(again[0].Messages, r.Messages) || !cmp.Equal(again[0].Rejected, r.Rejected) || again[0].RawRejected != r.RawRejected {
				t.Errorf("written %s, read %+v, %v; was %+v", line, again, rerr, r)
			}
		}
		if err != nil {
			_ = err.Error()
		}
	})
}
