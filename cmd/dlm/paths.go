package main

import (
	"os"
	"path/filepath"
	"strings"
)

// rel shortens a path below the current folder to how a person there would
// write it; any other stays as it is.
func (a *app) rel(path string) string {
	wd, err := os.Getwd()
	if err != nil || !filepath.IsAbs(path) {
		return path
	}
	rel, err := filepath.Rel(wd, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return path
	}
	return rel
}

// shorten does what rel does to every path within a text.
func (a *app) shorten(text string) string {
	wd, err := os.Getwd()
	if err != nil || filepath.Dir(wd) == wd {
		return text
	}
	prefix := wd + string(filepath.Separator)
	var b strings.Builder
	for {
		i := strings.Index(text, prefix)
		if i < 0 {
			break
		}
		b.WriteString(text[:i])
		// The folder must begin here, not in the middle of a longer path.
		if i > 0 && !strings.ContainsRune(" \t\n\"'`([{=:,;", rune(text[i-1])) {
			b.WriteString(prefix)
		}
		text = text[i+len(prefix):]
	}
	return b.String() + text
}
