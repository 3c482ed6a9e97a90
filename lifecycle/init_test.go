package lifecycle

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dlm/stage/curate"
)

func TestInitExample(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "my: project #1")
	res, err := Init(InitOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Load(res.Project, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "my: project #1" || p.Eval.Primary != "record" || p.Gate.MaxDrop != 0.02 || res.Rows != 40 || res.Items != 10 || len(res.Sample) != 3 {
		t.Errorf("%+v\n%+v", p, res)
	}
	rows, err := curate.Read(p.Path(p.Data.Train[0]), curate.Options{})
	if err != nil || len(rows) != 40 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	g, err := OpenGolden(p.Path(p.Golden.File))
	if err != nil || len(g.Items) != 10 || g.Version() != 1 {
		t.Fatalf("%+v, %v", g, err)
	}
	if _, err := Init(InitOptions{Dir: dir}); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second init: %v", err)
	}
}

func TestInitFrom(t *testing.T) {
	write := func(name string, n int, row func(i int) string) string {
		var b strings.Builder
		if strings.HasSuffix(name, ".csv") {
			b.WriteString("question,answer\n")
		}
		for i := range n {
			b.WriteString(row(i) + "\n")
		}
		p := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(p, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	words := []string{"alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett", "kilo", "lima"}
	q := func(i int) string {
		return fmt.Sprintf("%s %s %s number %d", words[i%12], words[i/12%12], words[(i*7+3)%12], i)
	}
	for _, c := range []struct {
		name          string
		from          string
		rows, items   int
		primary, says string
	}{
		{"csv of labels", write("faq.csv", 200, func(i int) string { return q(i) + "," + words[i%5] }), 180, 20, "exact", "short or few"},
		{"json completions", write("a.jsonl", 120, func(i int) string {
			return fmt.Sprintf(`{"instruction":%q,"input":"","output":"{\"intent\": \"%s\", \"n\": %d}"}`, q(i), words[i%3], i)
		}), 100, 20, "record", "JSON objects"},
		{"free text", write("b.jsonl", 100, func(i int) string {
			return fmt.Sprintf(`{"messages":[{"role":"user","content":%q},{"role":"assistant","content":"A long answer about %s that goes on for a while, number %d."}]}`, q(i), words[i%12], i)
		}), 80, 20, "rouge_l", "free text"},
		{"few rows", write("c.jsonl", 30, func(i int) string {
			return fmt.Sprintf(`{"prompt":%q,"completion":"yes"}`, q(i))
		}), 30, 0, "", "too few"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, _ := os.ReadFile(c.from)
			res, err := Init(InitOptions{Dir: t.TempDir(), From: c.from})
			if err != nil {
				t.Fatal(err)
			}
			p, err := Load(res.Project, nil)
			if err != nil {
				t.Fatal(err)
			}
			if res.Rows != c.rows || res.Items != c.items || p.Eval.Primary != c.primary || !strings.Contains(strings.Join(res.Notes, "\n"), c.says) || len(res.Sample) == 0 {
				t.Errorf("%+v, primary %s", res, p.Eval.Primary)
			}
			if after, _ := os.ReadFile(c.from); string(after) != string(before) {
				t.Error("the user's file was changed")
			}
		})
	}
}

func TestYAMLText(t *testing.T) {
	for _, s := range []string{"plain", "data/a b.jsonl", "yes", "12", "1e5", "-", "a: b", "# x", "\"q\"", "é\n", "", ".5", "./x", "null"} {
		y, err := yamlText(s)
		if err != nil {
			t.Fatal(err)
		}
		var v struct {
			A string `yaml:"a"`
		}
		if _, err := decodeYAML("x", []byte("a: "+y+"\n"), &v); err != nil || v.A != s {
			t.Errorf("%q -> %s -> %q, %v", s, y, v.A, err)
		}
	}
}
