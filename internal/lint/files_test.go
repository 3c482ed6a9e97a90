package lint

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// maxLines is how long a Go file may be: one idea each.
const maxLines = 500

// longFiles are the exceptions, each with a reason and the day on which it
// ends.
var longFiles = map[string]struct{ why, until string }{}

// generated says whether a file says of itself that it was made by a program.
func generated(src []byte) bool {
	for _, line := range bytes.SplitN(src, []byte("\n"), 20) {
		if bytes.HasPrefix(line, []byte("// Code generated ")) && bytes.HasSuffix(bytes.TrimRight(line, "\r"), []byte(" DO NOT EDIT.")) {
			return true
		}
	}
	return false
}

func TestFileLength(t *testing.T) {
	top := root(t)
	long := map[string]bool{}
	for _, f := range goFiles(t) {
		if f.lines <= maxLines {
			continue
		}
		src, err := os.ReadFile(filepath.Join(top, f.path))
		if err != nil {
			t.Fatal(err)
		}
		if generated(src) {
			continue
		}
		long[f.path] = true
		e, ok := longFiles[f.path]
		if !ok {
			t.Errorf("%s has %d lines, more than %d: split it by idea", f.path, f.lines, maxLines)
			continue
		}
		until, err := time.Parse("2006-01-02", e.until)
		if err != nil || e.why == "" {
			t.Errorf("longFiles: %s needs a reason and a day: %v", f.path, err)
		} else if time.Now().After(until) {
			t.Errorf("%s has %d lines; its exception (%s) ended on %s", f.path, f.lines, e.why, e.until)
		}
	}
	for p := range longFiles {
		if _, err := os.Stat(filepath.Join(top, p)); err == nil && !long[p] {
			t.Errorf("longFiles: %s is no longer too long: delete its exception", p)
		}
	}
}

// forbidden are words that nothing committed may contain, and why. They are
// put together here so that this file does not contain them either.
var forbidden = []struct{ word, why string }{
	{"TO" + "DO", "finish it, or write it into docs as a limit"},
	{"FIX" + "ME", "fix it"},
	{"/root" + "/", "a path of one machine"},
	{"/home" + "/", "a path of one machine"},
}

// texts are the kinds of file that are read for forbidden words.
var texts = map[string]bool{".go": true, ".s": true, ".md": true, ".py": true, ".sh": true, ".yaml": true, ".yml": true, ".sql": true,
	".html": true, ".tmpl": true, ".txt": true, ".mod": true, ".txtar": true, ".svg": true, "": true}

// quoted are folders whose texts are other people's: data and licences.
func quoted(rel string) bool {
	return strings.HasPrefix(rel, "projects/") && strings.Contains(rel, "/data/") || strings.HasPrefix(filepath.Base(rel), "LICENSE") || strings.HasSuffix(rel, "go.sum")
}

func forbiddenIn(src []byte) (word, why string, line int) {
	for _, f := range forbidden {
		if i := bytes.Index(src, []byte(f.word)); i >= 0 {
			return f.word, f.why, 1 + bytes.Count(src[:i], []byte("\n"))
		}
	}
	return "", "", 0
}

func TestForbiddenWords(t *testing.T) {
	walk(t, func(rel, path string) {
		if !texts[filepath.Ext(rel)] || quoted(rel) {
			return
		}
		info, err := os.Stat(path)
		if err != nil || info.Size() > 4<<20 {
			return
		}
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(src[:min(len(src), 1024)], 0) >= 0 {
			return // binary
		}
		if word, why, line := forbiddenIn(src); word != "" {
			t.Errorf("%s:%d: contains %q: %s", rel, line, word, why)
		}
	})
	if word, _, line := forbiddenIn([]byte("a\nb // TO" + "DO: later")); word == "" || line != 2 {
		t.Error("the check finds nothing")
	}
}
