package lifecycle

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"dlm"
	"dlm/stage/evals"
)

// The types below have a form of their own in dlm.yaml.

func (p *Paths) decodeField(d *decoder, n ast.Node, path string) {
	if s, ok := n.(*ast.StringNode); ok {
		*p = Paths{s.Value}
		return
	}
	if _, ok := n.(*ast.SequenceNode); !ok {
		d.fail(n, path, "is "+what(n), "a path, or a list of paths", "")
		return
	}
	var list []string
	d.decodeSlice(n, reflect.ValueOf(&list).Elem(), path)
	*p = list
}

func (p *Patterns) decodeField(d *decoder, n ast.Node, path string) {
	const want = "fields that match projections, with numbers, such as q_proj: 32"
	pairs, ok := mappings(n)
	if !ok {
		d.fail(n, path, "is "+what(n), want, "")
		return
	}
	*p = nil
	for _, kv := range pairs {
		key, ok := scalarText(kv.Key)
		if !ok {
			d.fail(kv.Key, path, "a field has no plain name", want, "")
			continue
		}
		pat := dlm.Pattern{Match: key}
		d.at[join(path, key)] = place(kv.Key)
		d.decodeNumber(kv.Value, reflect.ValueOf(&pat.Value).Elem(), join(path, key))
		*p = append(*p, pat)
	}
}

func (h *Held) decodeField(d *decoder, n ast.Node, path string) {
	const want = "a file, a number of rows such as 100, or a part such as 5%"
	s, ok := scalarText(n)
	if !ok {
		d.fail(n, path, "is "+what(n), want, "")
		return
	}
	s = strings.TrimSpace(s)
	num, percent := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(num), 64)
	switch {
	case err != nil && s != "" && !percent:
		*h = Held{File: s}
	case err != nil:
		d.fail(n, path, "is "+what(n), want, "")
	case percent && v >= 0 && v <= 50:
		*h = Held{Part: v / 100}
	case !percent && v > 0 && v < 1 && v <= 0.5:
		*h = Held{Part: v}
	case !percent && v >= 0 && v == float64(int(v)):
		*h = Held{Rows: int(v)}
	default:
		d.fail(n, path, "is "+s, want, "at most half of the rows can be held out by part")
	}
}

func (p *Points) decodeField(d *decoder, n ast.Node, path string) {
	const want = "percentage points such as 2pp, or a fraction such as 0.02"
	s, ok := scalarText(n)
	if !ok {
		d.fail(n, path, "is "+what(n), want, "")
		return
	}
	v, err := ParsePoints(s)
	if err != nil {
		hint := ""
		if f, e := strconv.ParseFloat(strings.TrimSpace(s), 64); e == nil && f > 1 {
			hint = fmt.Sprintf("did you mean %spp?", strings.TrimSpace(s))
		}
		d.fail(n, path, "is "+what(n), want+", from 0pp to 100pp", hint)
		return
	}
	*p = v
}

func (t *Duration) decodeField(d *decoder, n ast.Node, path string) {
	s, _ := scalarText(n)
	v, err := time.ParseDuration(strings.TrimSpace(s))
	if err != nil {
		d.fail(n, path, "is "+what(n), "a time such as 90s or 10m", "")
		return
	}
	*t = Duration(v)
}

func (a *ArmSpec) decodeField(d *decoder, n ast.Node, path string) {
	want := "zero-shot, few-shot: 4, nearest-copy or linear"
	if pairs, ok := mappings(n); ok && len(pairs) == 1 {
		key, _ := scalarText(pairs[0].Key)
		if key != "few-shot" {
			d.fail(pairs[0].Key, path, fmt.Sprintf("%q takes no number", key), want, didYouMean(key, armKinds))
			return
		}
		d.decodeNumber(pairs[0].Value, reflect.ValueOf(&a.Shots).Elem(), path+".few-shot")
		a.Kind = key
		return
	}
	s, ok := scalarText(n)
	if !ok {
		d.fail(n, path, "is "+what(n), want, "")
		return
	}
	arm, err := ParseArm(s)
	if err != nil {
		d.fail(n, path, "is "+what(n), want, didYouMean(s, armKinds))
		return
	}
	*a = arm
}

// ParseArm reads an arm's name: zero-shot, few-shot (4 examples), few-shot-8,
// nearest-copy, linear.
func ParseArm(s string) (ArmSpec, error) {
	if s == "few-shot" {
		s = "few-shot-4"
	}
	arm, err := evals.ParseArm(s)
	return ArmSpec{Kind: arm.Kind, Shots: arm.Shots}, err
}

func didYouMean(got string, known []string) string {
	if n := nearest(got, known); n != "" {
		return fmt.Sprintf("did you mean %s?", n)
	}
	return ""
}
