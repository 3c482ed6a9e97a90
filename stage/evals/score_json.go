package evals

import (
	"fmt"
	"sort"
	"strings"

	"dlm"
)

// jsonScorer compares JSON objects. Its metrics:
//
//	record          the whole object is equal, whatever the order of its fields
//	valid           the completion is a JSON object
//	field:NAME      a named field is equal (present in both, or in neither)
//	slot_precision  of the slots given, the part that is right
//	slot_recall     of the slots wanted, the part that is right
//	slot_f1         2 TP / (2 TP + FP + FN)
//
// Slots are the leaves of all fields that are not named; a leaf is right when
// path and value are equal. The three are ratios of sums over the whole set
// (micro averages): samples without any slot change nothing.
type jsonScorer struct {
	fields  []string
	extract bool
	metrics []string
}

func newJSON(spec ScorerSpec) (Scorer, error) {
	s := jsonScorer{fields: spec.Fields, extract: spec.Extract, metrics: []string{"record"}}
	seen := map[string]bool{}
	for _, f := range spec.Fields {
		if f == "" || seen[f] {
			return nil, fmt.Errorf("option fields: %q is empty or stands twice", f)
		}
		seen[f] = true
		s.metrics = append(s.metrics, "field:"+f)
	}
	s.metrics = append(s.metrics, "slot_f1", "slot_precision", "slot_recall", "valid")
	return s, nil
}

// Metrics lists record first, then the named fields, the slots, and valid.
func (s jsonScorer) Metrics() []string { return s.metrics }

// Score compares the completion's object with the target's.
func (s jsonScorer) Score(item dlm.Item, completion string) map[string]dlm.Score {
	out := make(map[string]dlm.Score, len(s.metrics))
	want, err := parseObject(item.Target, false)
	if err != nil {
		for _, m := range s.metrics {
			out[m] = unscored("the target is no JSON object: %v", err)
		}
		return out
	}
	got, err := parseObject(completion, s.extract)
	out["valid"] = right()
	if err != nil {
		out["valid"] = wrong("%v", err)
	}
	broken := err
	for _, f := range s.fields {
		out["field:"+f] = fieldScore(f, got, want, broken)
	}
	gotLeaves, wantLeaves := s.leaves(got), s.leaves(want)
	tp := 0
	for path, v := range gotLeaves {
		if w, ok := wantLeaves[path]; ok && w == v {
			tp++
		}
	}
	fp, fn := len(gotLeaves)-tp, len(wantLeaves)-tp
	why := slotDifference(gotLeaves, wantLeaves)
	out["slot_precision"] = ratio(tp, tp+fp, why)
	out["slot_recall"] = ratio(tp, tp+fn, why)
	out["slot_f1"] = ratio(2*tp, 2*tp+fp+fn, why)
	switch {
	case broken != nil:
		out["record"] = wrong("%v", broken)
	case canonical(got) == canonical(want):
		out["record"] = right()
	default:
		out["record"] = wrong("%s", s.recordDifference(got, want, why))
	}
	return out
}

// fieldScore compares one named field.
func fieldScore(name string, got, want map[string]any, broken error) dlm.Score {
	if broken != nil {
		return wrong("%v", broken)
	}
	g, hasG := got[name]
	w, hasW := want[name]
	switch {
	case hasG != hasW && hasW:
		return wrong("%s is missing, want %s", name, excerpt(canonical(w)))
	case hasG != hasW:
		return wrong("%s is %s, want none", name, excerpt(canonical(g)))
	case hasG && canonical(g) != canonical(w):
		return wrong("%s is %s, want %s", name, excerpt(canonical(g)), excerpt(canonical(w)))
	}
	return right()
}

// leaves flattens the fields that are not named: path -> canonical value.
func (s jsonScorer) leaves(obj map[string]any) map[string]string {
	out := map[string]string{}
	for key, v := range obj {
		named := false
		for _, f := range s.fields {
			named = named || f == key
		}
		if !named {
			flatten(key, v, out)
		}
	}
	return out
}

func flatten(path string, v any, out map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			flatten(path+"."+k, e, out)
		}
	case []any:
		for i, e := range v {
			flatten(fmt.Sprintf("%s[%d]", path, i), e, out)
		}
	default:
		out[path] = canonical(v)
	}
}

// ratio is a sample's part of a ratio metric. A sample without anything to
// count is right by itself and adds nothing to the sums.
func ratio(num, den int, why string) dlm.Score {
	if den == 0 {
		return dlm.Score{Value: 1, Ratio: true}
	}
	sc := dlm.Score{Value: float64(num) / float64(den), Ratio: true, Num: float64(num), Den: float64(den)}
	if num != den {
		sc.Why = why
	}
	return sc
}

// slotDifference says in words what differs, in the order of the paths.
func slotDifference(got, want map[string]string) string {
	paths := map[string]bool{}
	for p := range got {
		paths[p] = true
	}
	for p := range want {
		paths[p] = true
	}
	var parts []string
	for p := range paths {
		g, hasG := got[p]
		w, hasW := want[p]
		switch {
		case !hasG:
			parts = append(parts, fmt.Sprintf("%s is missing, want %s", p, excerpt(w)))
		case !hasW:
			parts = append(parts, fmt.Sprintf("%s is %s, want none", p, excerpt(g)))
		case g != w:
			parts = append(parts, fmt.Sprintf("%s is %s, want %s", p, excerpt(g), excerpt(w)))
		}
	}
	sort.Strings(parts)
	return strings.Join(parts, "; ")
}

// recordDifference joins what differs in named fields and slots.
func (s jsonScorer) recordDifference(got, want map[string]any, slots string) string {
	var parts []string
	for _, f := range s.fields {
		if sc := fieldScore(f, got, want, nil); sc.Value == 0 {
			parts = append(parts, sc.Why)
		}
	}
	if slots != "" {
		parts = append(parts, slots)
	}
	if len(parts) == 0 {
		return "the objects differ in their empty parts"
	}
	return strings.Join(parts, "; ")
}
