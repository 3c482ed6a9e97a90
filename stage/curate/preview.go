package curate

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"dlm"
)

// Style is how a preview marks the tokens that are trained.
type Style struct {
	Colour bool // ANSI colours; without them trained tokens stand in [[ ]]
}

const (
	ansiReset   = "\x1b[0m"
	ansiTrained = "\x1b[1;32m" // bold green
	ansiPrompt  = "\x1b[2m"    // dim
	ansiRed     = "\x1b[31m"
	ansiYellow  = "\x1b[33m"
)

// Preview writes a row as the base model sees it, token by token, with the
// tokens that count in the loss marked. Control characters are made visible;
// line ends are shown and kept.
func Preview(w io.Writer, enc dlm.Encoder, row dlm.Row, e dlm.Encoded, s Style) error {
	b := &strings.Builder{}
	trained := 0
	for _, m := range e.Mask {
		if m {
			trained++
		}
	}
	fmt.Fprintf(b, "%s  %d tokens, %d in the loss%s\n", where(row.File, row.Line, row.ID), len(e.IDs), trained,
		map[bool]string{true: ", truncated"}[e.Truncated])
	for i := 0; i < len(e.IDs); {
		j := i
		var run strings.Builder
		for ; j < len(e.IDs) && e.Mask[j] == e.Mask[i]; j++ {
			run.WriteString(enc.Piece(e.IDs[j]))
		}
		writeRun(b, run.String(), e.Mask[i], s)
		i = j
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// PreviewRow encodes a row and writes it as Preview does; of a pair both answers,
// of a labelled one what people thought of it.
func PreviewRow(w io.Writer, enc dlm.Encoder, row dlm.Row, maxLen int, s Style) error {
	for _, side := range row.Sides() {
		e, err := enc.Encode(side.Row, maxLen)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", row.File, row.Line, err)
		}
		name := side.Name
		if row.Label != nil {
			name = map[bool]string{true: "liked", false: "disliked"}[*row.Label]
		}
		if name != "" {
			if _, err := fmt.Fprintf(w, "%s: ", name); err != nil {
				return err
			}
		}
		if err := Preview(w, enc, side.Row, e, s); err != nil {
			return err
		}
	}
	return nil
}

// where names a row by its place, and by its id if it was given one.
func where(file string, line int, id string) string {
	at := fmt.Sprintf("%s:%d", file, line)
	if id == fmt.Sprintf("%s:%d", filepath.Base(file), line) {
		return at
	}
	return at + "  " + Printable(id)
}

// writeRun writes consecutive tokens of one mask value. Colours are set again
// on every line, because pagers reset them at line ends.
func writeRun(b *strings.Builder, text string, trained bool, s Style) {
	open, end := "", ""
	switch {
	case s.Colour && trained:
		open, end = ansiTrained, ansiReset
	case s.Colour:
		open, end = ansiPrompt, ansiReset
	case trained:
		open, end = "[[", "]]"
	}
	lines := strings.Split(text, "\n")
	if !s.Colour {
		b.WriteString(open)
	}
	for i, line := range lines {
		if i > 0 {
			line = "\n" + line
		}
		head, rest := "", line
		if i > 0 {
			head, rest = "\n", line[1:]
		}
		rest = Printable(rest)
		if i < len(lines)-1 {
			rest += "\u23ce" // the line end is a token too
		}
		b.WriteString(head)
		if rest == "" {
			continue
		}
		if s.Colour {
			b.WriteString(open + rest + end)
		} else {
			b.WriteString(rest)
		}
	}
	if !s.Colour {
		b.WriteString(end)
	}
}

// WriteResult writes what Check found, for people.
func WriteResult(w io.Writer, r Result, s Style) error {
	b := &strings.Builder{}
	share := 0.0
	if r.Tokens > 0 {
		share = 100 * float64(r.LossTokens) / float64(r.Tokens)
	}
	fmt.Fprintf(b, "%d rows, %d tokens, %d in the loss (%.0f%%), median %d, longest %d\n", r.Rows, r.Tokens, r.LossTokens, share, r.Median, r.Longest)
	for _, f := range r.Findings {
		mark, open, end := string(f.Severity), "", ""
		if s.Colour {
			open, end = ansiYellow, ansiReset
			if f.Severity == Refuse {
				open = ansiRed
			}
		}
		fmt.Fprintf(b, "%s%-6s%s  %s\n", open, mark, end, f.Problem)
		const show = 8
		for _, row := range f.Rows[:min(show, len(f.Rows))] {
			fmt.Fprintf(b, "          %s", where(row.File, row.Line, row.ID))
			if row.Note != "" {
				fmt.Fprintf(b, "  %s", Printable(row.Note))
			}
			b.WriteByte('\n')
		}
		if n := len(f.Rows) - show; n > 0 {
			fmt.Fprintf(b, "          and %d more\n", n)
		}
		fmt.Fprintf(b, "          %s\n", f.Remedy)
	}
	if len(r.Findings) == 0 {
		b.WriteString("nothing found\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
