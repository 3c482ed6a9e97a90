package evals

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"dlm"
)

// tiny is a report of two arms with one fixed and one broken item, whose texts
// try to break out of the page.
func tiny() dlm.Report {
	const evil = `</script><script>alert(1)</script><img src=x onerror=alert(2)>"'&`
	sample := func(id, completion string, v float64) dlm.Sample {
		sc := dlm.Score{Value: v}
		if v == 0 {
			sc.Why = "got " + evil
		}
		return dlm.Sample{
			ItemID: id + evil, Tags: []string{"tag" + evil}, Cluster: evil, Finish: "stop", LatencyMS: 12,
			Prompt: []dlm.Message{{Role: "system", Content: "S"}, {Role: "user", Content: "ask " + evil}},
			Target: "target " + evil, Completion: completion, Scores: map[string]dlm.Score{"m": sc},
		}
	}
	r := dlm.Report{
		Golden: dlm.Digest("sha256:" + strings.Repeat("1", 64)), Base: dlm.Digest("sha256:" + strings.Repeat("2", 64)),
		Primary: "m", Items: 4, Notes: []string{evil},
		Arms: []dlm.Arm{
			{Name: "base", Samples: []dlm.Sample{sample("a", "no "+evil, 0), sample("b", "yes", 1), sample("c", "", 0), sample("d", "yes", 1)}},
			{Name: "tuned", Adapter: dlm.Digest("sha256:" + strings.Repeat("a", 64)), Samples: []dlm.Sample{sample("a", "yes", 1), sample("b", evil, 0), sample("c", "no", 0), sample("d", "yes", 1)}},
		},
	}
	for i := range r.Arms {
		Summarise(&r.Arms[i], []string{"m"}, 0.95, 1)
	}
	return r
}

func html(t *testing.T, r dlm.Report, o HTMLOptions) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteHTML(&b, r, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPageEscapes(t *testing.T) {
	page := html(t, tiny(), HTMLOptions{Title: `<b>"T"</b>`})
	if n := strings.Count(page, "<script"); n != 1 {
		t.Errorf("%d script elements, want the page's own one", n)
	}
	for _, bad := range []string{"<img", "alert(1)</script>", "<b>\"T", "ZgotmplZ"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	if !strings.Contains(page, "&lt;img src=x onerror=alert(2)&gt;") {
		t.Error("the text itself is lost")
	}
	// No attribute may be broken out of: every on... attribute would be one.
	if m := regexp.MustCompile(`<[a-z]+[^>]*\son[a-z]+=`).FindString(page); m != "" {
		t.Errorf("an event attribute: %s", m)
	}
}

func TestPageStandsAlone(t *testing.T) {
	page := html(t, tiny(), HTMLOptions{})
	if m := regexp.MustCompile(`(?i)(src|href)\s*=\s*["']?[^#"'][^"'>]*|https?://[^ <"]*|@import|url\(`).FindString(strings.ReplaceAll(page, "src=x onerror", "")); m != "" {
		t.Errorf("the page refers to something outside: %s", m)
	}
	// Element by element what opens closes.
	for _, tag := range []string{"section", "details", "table", "tr", "svg", "div", "article", "ul", "pre", "p", "small", "span"} {
		opened := len(regexp.MustCompile(`<`+tag+`[ >]`).FindAllString(page, -1))
		closed := strings.Count(page, "</"+tag+">")
		if opened != closed {
			t.Errorf("<%s>: %d opened, %d closed", tag, opened, closed)
		}
	}
}

func TestPageShows(t *testing.T) {
	v := dlm.Verdict{Outcome: dlm.Inconclusive, Candidate: "tuned", Baseline: "base", Margin: 0.02, Difference: 0, Low: -0.5, High: 0.5, Level: 0.95, Reason: "too few items"}
	page := html(t, tiny(), HTMLOptions{Verdict: &v, Lineage: []Lineage{{"golden", "claims v3", "sha256:" + strings.Repeat("1", 64)}, {"run", "", "r-17"}}})
	for _, want := range []string{
		"Gate inconclusive", "too few items", "1 fixed", "1 broken", "1 both right", "1 both wrong",
		"claims v3", "r-17", "sha256:" + strings.Repeat("a", 64), "(empty)", "tuned</span><span class=\"tagpill candidate\"",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if n := strings.Count(page, strings.Repeat("1", 64)); n != 1 {
		t.Errorf("the golden set's id stands %d times in the lineage", n)
	}
	if n := strings.Count(page, `<details class="item"`); n != 4 {
		t.Errorf("%d items, want 4", n)
	}
	if a, b := html(t, tiny(), HTMLOptions{}), html(t, tiny(), HTMLOptions{}); a != b {
		t.Error("equal reports give different pages")
	}
	if err := WriteHTML(&bytes.Buffer{}, tiny(), HTMLOptions{Candidate: "nobody"}); err == nil {
		t.Error("an unknown arm was accepted")
	}
	html(t, dlm.Report{}, HTMLOptions{}) // nothing at all is still a page
	one := tiny()
	one.Arms = one.Arms[:1]
	html(t, one, HTMLOptions{})
}

func TestTable(t *testing.T) {
	r := tiny()
	r.Arms[0].Name = "größer" // width counts characters, not bytes
	var b bytes.Buffer
	if err := WriteTable(&b, r, TableOptions{}); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"arm                         m  latency",
		"größer  * 50.0 [ 15.0,  85.0]    12 ms",
		"tuned   * 50.0 [ 15.0,  85.0]    12 ms",
		"percent with 95% intervals (cluster wilson), 4 items; latency: median per item", "",
	}, "\n")
	got := regexp.MustCompile(`\[ *[\d.]+, +[\d.]+\]`).ReplaceAllString(b.String(), "[ 15.0,  85.0]")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	b.Reset()
	if err := WriteTable(&b, r, TableOptions{Color: true, Width: 30}); err != nil {
		t.Fatal(err)
	}
	plain := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(b.String(), "")
	if !strings.Contains(b.String(), "\x1b[1;32m") || strings.Count(plain, "größer") != 2 {
		t.Errorf("colour and narrow:\n%s", plain)
	}
}

func TestDiff(t *testing.T) {
	cases := []struct {
		got, want string
		segs      []segment
	}{
		{"same", "same", []segment{{"same", "same"}}},
		{"Sure, I can help with that!", "{\"intent\": \"help\"}", []segment{{"same", "Sure, I can help with that!"}}}, // too little in common
		{"", "x", []segment{{"same", ""}}},
		{"a b c", "a x c", []segment{{"same", "a "}, {"extra", "b"}, {"missing", "x"}, {"same", " c"}}},
		{"the big red dog", "the dog", []segment{{"same", "the "}, {"extra", "big red "}, {"same", "dog"}}},
	}
	for _, c := range cases {
		if got := diffText(c.got, c.want); !reflect.DeepEqual(got, c.segs) {
			t.Errorf("%q against %q: %v, want %v", c.got, c.want, got, c.segs)
		}
	}
	if got := diffText(strings.Repeat("a ", 5000), "b"); len(got) != 1 || got[0].Kind != "same" {
		t.Errorf("a very long text: %d pieces", len(got))
	}
}

// FuzzDiff: extra and same pieces make the completion, missing and same ones
// the target.
func FuzzDiff(f *testing.F) {
	f.Add("a b c", "a x c")
	f.Add(`{"a": "b"}`, `{"a": "c", "d": 1}`)
	f.Add("é\xff  ", "e\u0301")
	f.Fuzz(func(t *testing.T, completion, target string) {
		if len(completion) > 2000 || len(target) > 2000 || completion == target {
			return
		}
		var c, w string
		for _, s := range diffText(completion, target) {
			if s.Kind != "missing" {
				c += s.Text
			}
			if s.Kind != "extra" {
				w += s.Text
			}
		}
		if whole := w == completion; c != completion || (w != target && !whole) {
			t.Fatalf("completion %q became %q, target %q became %q", completion, c, target, w)
		}
	})
}

// TestKeepPage writes the page of a whole evaluation where DLM_REPORT_DIR says,
// for a person to look at.
func TestKeepPage(t *testing.T) {
	dir := os.Getenv("DLM_REPORT_DIR")
	if dir == "" {
		t.Skip("set DLM_REPORT_DIR to a folder to look at the page")
	}
	gen, job := claimsJob(t, 0)
	rep, err := Run(context.Background(), gen, job)
	if err != nil {
		t.Fatal(err)
	}
	v := dlm.Verdict{Outcome: dlm.Pass, Metric: "record", Candidate: "claims-r16", Baseline: "few-shot-4", N: 200, Margin: 0.02,
		Difference: 0.163, Low: 0.08, High: 0.245, Level: 0.95, Method: "cluster tango", McNemarP: 0.0001, Reason: "claims-r16 has record 67.0%, few-shot-4 has 50.7%"}
	var b, j bytes.Buffer
	if err := WriteHTML(&b, rep, HTMLOptions{Title: "claims-desk", Verdict: &v, Lineage: []Lineage{{"run", "r-0007", "r-0007"}}}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "report.html"), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	_ = WriteJSON(&j, rep)
	if err := os.WriteFile(filepath.Join(dir, "report.json"), j.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	_ = WriteTable(os.Stdout, rep, TableOptions{})
	_ = WriteTable(os.Stdout, rep, TableOptions{Color: true, Width: 100})
}
