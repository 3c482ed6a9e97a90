package watch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumented: docs/SERVING.md names every metric of ours, and no other.
func TestDocumented(t *testing.T) {
	src, err := os.ReadFile(filepath.Join("..", "..", "docs", "SERVING.md"))
	if err != nil {
		t.Fatal(err)
	}
	w, c := newTest(Options{})
	answer(w, c, chat())
	have := map[string]bool{"dlm_build_info": true}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (dlm_[a-z_]+) `).FindAllStringSubmatch(scrape(t, w), -1) {
		have[m[1]] = true
		if !strings.Contains(string(src), "`"+m[1]+"`") && m[1] != "dlm_build_info" {
			t.Errorf("docs/SERVING.md does not name %s", m[1])
		}
	}
	for _, name := range regexp.MustCompile(`\bdlm_[a-z_]+`).FindAllString(string(src), -1) {
		if !have[name] {
			t.Errorf("docs/SERVING.md names %s, which is no metric", name)
		}
	}
}
