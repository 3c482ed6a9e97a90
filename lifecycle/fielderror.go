package lifecycle

import (
	"errors"
	"fmt"
	"strings"
)

// FieldError is one thing wrong with one field of dlm.yaml or of --set.
type FieldError struct {
	File     string `json:"file"`
	Line     int    `json:"line"`   // counted from 1; 0 when it stands in no file
	Column   int    `json:"column"` // counted from 1
	Field    string `json:"field"`  // "train.lr"
	Problem  string `json:"problem"`
	Expected string `json:"expected,omitempty"`
	Hint     string `json:"hint,omitempty"` // the nearest known name, or the next step
	Source   string `json:"source,omitempty"`
}

// Error is the place, the problem, what was expected and the hint, then the
// line itself with a mark below the place.
func (e *FieldError) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	if e.Field != "" {
		fmt.Fprintf(&b, ": %s", e.Field)
	}
	fmt.Fprintf(&b, ": %s", e.Problem)
	if e.Expected != "" {
		fmt.Fprintf(&b, "; expected %s", e.Expected)
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, "; %s", e.Hint)
	}
	if e.Source != "" {
		n := fmt.Sprintf("%5d | ", e.Line)
		fmt.Fprintf(&b, "\n%s%s\n%s| %s^", n, e.Source, strings.Repeat(" ", len(n)-2), strings.Repeat(" ", max(0, e.Column-1)))
	}
	return b.String()
}

// FieldErrors returns every FieldError within err, for machines.
func FieldErrors(err error) []*FieldError {
	var out []*FieldError
	var walk func(error)
	walk = func(err error) {
		var fe *FieldError
		if e, ok := err.(*FieldError); ok { //nolint:errorlint // the tree is walked by hand
			out = append(out, e)
		} else if m, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range m.Unwrap() {
				walk(e)
			}
		} else if errors.As(err, &fe) {
			out = append(out, fe)
		}
	}
	if err != nil {
		walk(err)
	}
	return out
}

// nearest returns the known name closest to got, or "" when none is close.
func nearest(got string, known []string) string {
	best, dist := "", 1+max(1, len(got)/3)
	for _, k := range known {
		if d := editDistance(strings.ToLower(got), strings.ToLower(k)); d < dist {
			best, dist = k, d
		}
	}
	return best
}

// editDistance counts insertions, deletions, changes and swaps of neighbours
// (optimal string alignment) that turn a into b.
func editDistance(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
