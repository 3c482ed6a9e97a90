package card

import (
	"regexp"
	"strings"
)

// line makes a text safe in the middle of a line or a table's cell.
func line(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "`", "'").Replace(s)
}

// code makes a text safe between two ticks.
func code(s string) string {
	return strings.NewReplacer("`", "'", "|", `\|`).Replace(strings.Join(strings.Fields(s), " "))
}

// tick puts a text between ticks; nothing stays nothing.
func tick(s string) string {
	if s == "" {
		return ""
	}
	return "`" + code(s) + "`"
}

// block is a text as a fenced block, whatever it holds.
func block(s string) string {
	fence := "```"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	return fence + "\n" + strings.TrimSpace(s) + "\n" + fence
}

// which is the part of a note that names items; they are not published.
var which = regexp.MustCompile(`\s*\([^()]*\)$`)

var heading = regexp.MustCompile(`(?m)^#{1,4} `)

// demote sets the headings of a text below those of the card.
func demote(s string) string { return heading.ReplaceAllString(s, "#### ") }
