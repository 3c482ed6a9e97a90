package vllm

import (
	"io"
	"os"
	"regexp"
	"strings"

	"dlm/internal/remote"
)

// tailBytes is how much of a log's end is looked at.
const tailBytes = 32 << 10

// tail returns the last lines of a file that hold something.
func tail(path string) (lines []string) {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > tailBytes {
		if _, err := f.Seek(-tailBytes, io.SeekEnd); err != nil {
			return nil
		}
	}
	raw, _ := io.ReadAll(f)
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, strings.ToValidUTF8(line, "?"))
		}
	}
	return lines
}

func lastLine(path string) string {
	lines := tail(path)
	if len(lines) == 0 {
		return "nothing yet"
	}
	return plain(lines[len(lines)-1])
}

var (
	// An exception as Python reports it, behind what vLLM's processes write first.
	exception = regexp.MustCompile(`(?:^|[\s\]])((?:[a-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt)\b.*)$`)
	// vLLM's prefixes: (EngineCore pid=3) ERROR 11-24 13:41:17 [core.py:100]
	prefix = regexp.MustCompile(`^(\([^)]*pid=\d+\)\s*)?([A-Z]+ \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]*\]\s*)?`)
)

// plain takes vLLM's prefixes off a line.
func plain(line string) string { return prefix.ReplaceAllString(line, "") }

// generic are exceptions that only say that something else went wrong.
var generic = []string{"Engine core initialization failed", "EngineDeadError", "EngineCore encountered", "Engine process failed"}

// lastWords finds what a log ends with that says most: the first exception of
// its last ones that says more than that the engine died, else the last line.
func lastWords(path string) string {
	lines := tail(path)
	best := ""
	for _, line := range lines {
		m := exception.FindStringSubmatch(plain(line))
		if m == nil {
			continue
		}
		vague := false
		for _, g := range generic {
			vague = vague || strings.Contains(m[1], g)
		}
		if !vague || best == "" {
			best = m[1]
		}
	}
	switch {
	case best != "":
		return remote.OneLine(best, 500)
	case len(lines) > 0:
		return remote.OneLine(plain(lines[len(lines)-1]), 500)
	}
	return "none"
}
