package route

import (
	"cmp"
	"slices"
	"strings"

	"dlm"
	"dlm/serve"
)

// unknown refuses a name that is not known, and suggests some that are: those
// that the caller may use alone.
func (v *view) unknown(q serve.Query) error {
	type near struct {
		id       string
		distance int
	}
	var all []near
	for _, m := range v.models {
		name, _, _ := strings.Cut(m.ID, "@")
		if q.Allows == nil || q.Allows(name) {
			all = append(all, near{m.ID, distance(strings.ToLower(m.ID), strings.ToLower(q.Model))})
		}
	}
	slices.SortStableFunc(all, func(a, b near) int { return cmp.Compare(a.distance, b.distance) })
	var names []string
	for _, n := range all[:min(3, len(all))] {
		names = append(names, n.id)
	}
	hint := ""
	if len(names) > 0 {
		hint = "; near it: " + strings.Join(names, ", ")
	}
	return dlm.Faultf(dlm.FaultUnknown, "model", "model %q is not served here%s (GET /v1/models lists all)", clip(q.Model), hint)
}

// clip shortens what a stranger sent before it stands in an answer and a log.
func clip(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// distance is how many letters must be put in, taken out or changed to turn a
// into b (Levenshtein). Long texts are compared by their beginnings.
func distance(a, b string) int {
	x, y := []rune(clip(a)), []rune(clip(b))
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i, r := range x {
		diagonal := row[0]
		row[0] = i + 1
		for j, s := range y {
			d := diagonal
			if r != s {
				d = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], d
		}
	}
	return row[len(y)]
}
