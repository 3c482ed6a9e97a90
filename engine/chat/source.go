package chat

import (
	"fmt"
	"strings"
)

// Names that prepared templates use beside those of the template's author.
const (
	blockStart = "dlm_generation_start" // writes the marker that opens a generation block
	blockEnd   = "dlm_generation_end"
	jsonFilter = "dlm_tojson"
)

// prepare rewrites what the Jinja library does otherwise than Hugging Face's
// template environment, and nothing else:
//
//   - {% generation %} and {% endgeneration %} write a marker each. They become
//     statements, not expressions, because a newline after a statement and the
//     spaces before it are dropped (trim_blocks, lstrip_blocks).
//   - the filter tojson is our own (tojson.go).
func prepare(source string) (prepared string, hasBlocks bool, err error) {
	var b strings.Builder
	depth := 0
	for i := 0; i < len(source); {
		kind, ok := tagAt(source, i)
		if !ok {
			b.WriteByte(source[i])
			i++
			continue
		}
		end := tagEnd(source, i+2, kind)
		tag := source[i:end]
		i = end
		switch word := keyword(tag, kind); word {
		case "generation", "endgeneration":
			hasBlocks = true
			marker := blockStart
			if word == "generation" {
				depth++
			} else {
				depth--
				marker = blockEnd
			}
			if depth < 0 || depth > 1 {
				return "", false, fmt.Errorf("chat template: {%% %s %%} without its partner", word)
			}
			b.WriteString(asMarker(tag, marker))
		default:
			if kind != '#' {
				tag = renameFilter(tag)
			}
			b.WriteString(tag)
		}
	}
	if depth != 0 {
		return "", false, fmt.Errorf("chat template: {%% generation %%} without {%% endgeneration %%}")
	}
	return b.String(), hasBlocks, nil
}

// tagAt reports whether a tag opens at s[i], and its kind: '%', '{' or '#'.
func tagAt(s string, i int) (kind byte, ok bool) {
	if s[i] != '{' || i+1 >= len(s) {
		return 0, false
	}
	kind = s[i+1]
	return kind, kind == '%' || kind == '{' || kind == '#'
}

// tagEnd returns the index after the closer of the tag whose inside begins at
// s[i]; closers inside of quoted strings do not count, except in comments.
func tagEnd(s string, i int, kind byte) int {
	closer := map[byte]string{'%': "%}", '{': "}}", '#': "#}"}[kind]
	for i < len(s) {
		switch {
		case strings.HasPrefix(s[i:], closer):
			return i + len(closer)
		case kind != '#' && (s[i] == '\'' || s[i] == '"'):
			i = stringEnd(s, i)
		default:
			i++
		}
	}
	return len(s)
}

// stringEnd returns the index after the quoted string that opens at s[i].
func stringEnd(s string, i int) int {
	quote := s[i]
	for i++; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case quote:
			return i + 1
		}
	}
	return len(s)
}

// keyword returns the sole word of a statement, "" for anything else.
func keyword(tag string, kind byte) string {
	if kind != '%' || len(tag) < 4 {
		return ""
	}
	return strings.TrimSpace(strings.Trim(tag[2:len(tag)-2], "-+"))
}

// asMarker is the statement that writes a marker, with the dashes of the tag
// that it replaces.
func asMarker(tag, marker string) string {
	left, right := "", ""
	if tag[2] == '-' {
		left = "-"
	}
	if tag[len(tag)-3] == '-' {
		right = "-"
	}
	return "{%" + left + " if true %}{{ " + marker + " }}{% endif " + right + "%}"
}

// renameFilter makes "| tojson" in a tag our own filter.
func renameFilter(tag string) string {
	const name = "tojson"
	if !strings.Contains(tag, name) {
		return tag
	}
	var b strings.Builder
	piped := false // the last character that is not a space was a pipe
	for i := 0; i < len(tag); {
		switch c := tag[i]; {
		case c == '\'' || c == '"':
			end := stringEnd(tag, i)
			b.WriteString(tag[i:end])
			i, piped = end, false
		case isNameByte(c):
			end := i
			for end < len(tag) && isNameByte(tag[end]) {
				end++
			}
			if word := tag[i:end]; piped && word == name {
				b.WriteString(jsonFilter)
			} else {
				b.WriteString(word)
			}
			i, piped = end, false
		default:
			if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
				piped = c == '|'
			}
			b.WriteByte(c)
			i++
		}
	}
	return b.String()
}

func isNameByte(c byte) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
