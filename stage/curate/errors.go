package curate

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// RowError is one thing wrong with one row of a file.
type RowError struct {
	File     string `json:"file"`
	Line     int    `json:"line"`              // counted from 1; 0 = the file as a whole
	Field    string `json:"field,omitempty"`   // "messages[1].role"
	Problem  string `json:"problem"`           // what is wrong
	Expected string `json:"expected"`          // what was expected
	Next     string `json:"next,omitempty"`    // what to do
	Excerpt  string `json:"excerpt,omitempty"` // the start of the line
}

// Error says where, what, what was expected and what to do.
func (e *RowError) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Field != "" {
		fmt.Fprintf(&b, ": %s", e.Field)
	}
	fmt.Fprintf(&b, ": %s", e.Problem)
	if e.Expected != "" {
		fmt.Fprintf(&b, "; expected %s", e.Expected)
	}
	if e.Next != "" {
		fmt.Fprintf(&b, "; %s", e.Next)
	}
	if e.Excerpt != "" {
		fmt.Fprintf(&b, "\n    %s", e.Excerpt)
	}
	return b.String()
}

// ReadError collects what was wrong with a file. The rows that could be read
// were returned beside it; the file itself is never changed.
type ReadError struct {
	File   string
	Rows   int // that were read
	Errors []*RowError
	More   int // errors beyond those listed
}

// Error lists the errors, one a line.
func (e *ReadError) Error() string {
	var b strings.Builder
	total := len(e.Errors) + e.More
	if total > 1 {
		fmt.Fprintf(&b, "%s: %d rows cannot be read (%d can); the file was not changed\n", e.File, total, e.Rows)
	}
	for i, r := range e.Errors {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(r.Error())
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "\n... and %d more", e.More)
	}
	return b.String()
}

// Unwrap gives the errors to errors.As.
func (e *ReadError) Unwrap() []error {
	out := make([]error, len(e.Errors))
	for i, r := range e.Errors {
		out[i] = r
	}
	return out
}

// excerpt returns the start of a line as one printable line.
func excerpt(raw []byte, n int) string {
	s := string(raw)
	cut := false
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s, cut = s[:n], true
	}
	s = Printable(s)
	if cut {
		s += " ..."
	}
	return s
}

// Printable makes control characters visible, so that data cannot move the
// cursor or change the colours of the terminal it is shown on.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < 0x20:
			return 0x2400 + r // control pictures: ␊ for a newline
		case r == 0x7f:
			return 0x2421
		case r >= 0x80 && r < 0xa0, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return utf8.RuneError // C1 controls and changes of writing direction
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}
