package openai

import (
	"strings"
	"testing"
)

// TestTextThatWouldChange: what Go's decoder reads as something else is refused.
func TestTextThatWouldChange(t *testing.T) {
	for content, want := range map[string]string{
		`plain`: "", `é😀`: "", `\ud83d\ude00`: "", `\\ud800`: "", `\u0041\\`: "",
		"\xff": "UTF-8", "\xed\xa0\x80": "UTF-8",
		`\ud800`: "half of a character", `\udc00`: "half of a character", `\ud800x`: "half of a character", `\uD800\u0041`: "half of a character", `\ud83d\\ude00`: "half of a character",
		`\u12`: "invalid JSON", `\uzzzz`: "invalid JSON",
	} {
		_, err := DecodeCompletion([]byte(`{"model":"a","prompt":"` + content + `"}`))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v; expected %q", content, err, want)
		}
	}
	for _, body := range []string{`\`, `{"a":"\`, `\u`, `"\ud800`, `"\ud800\`} {
		if _, err := DecodeCompletion([]byte(body)); err == nil {
			t.Errorf("%s is taken", body)
		}
	}
	if _, err := DecodeCompletion([]byte(`{"model":"a","prompt":"x","model":"b"}`)); err == nil || !strings.Contains(err.Error(), `"model" stands in the body twice`) {
		t.Error(err)
	}
}
