package evals

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"dlm"
)

// Scorer judges one completion against its golden item. A completion that
// cannot be read scores 0: the completion is at fault. An item that the scorer
// cannot judge, because its target is unusable, is unscored: it counts nowhere.
type Scorer interface {
	// Metrics lists the names of the metrics that Score returns, the most
	// telling one first.
	Metrics() []string
	// Score returns one score for each metric.
	Score(item dlm.Item, completion string) map[string]dlm.Score
}

// LikelihoodScorer judges by the log-probabilities of given completions instead
// of by a generated one. Run asks the Scorer port for Candidates and passes the
// answers on.
type LikelihoodScorer interface {
	Scorer
	// Candidates returns the completions whose log-probabilities are needed,
	// and whether each ends with the base's end-of-turn token; nil when the
	// item cannot be judged this way.
	Candidates(item dlm.Item) (completions []string, endOfTurn bool)
	// Choose judges item from the log-probabilities of its Candidates. chosen
	// is the winning completion.
	Choose(item dlm.Item, scored []dlm.Scored) (scores map[string]dlm.Score, chosen string)
}

// ScorerSpec is one scorer as the project file states it. New refuses options
// that the named scorer does not have.
type ScorerSpec struct {
	// Name is one of exact, contains, regex, json, json-schema, numeric, rouge-l, choice.
	Name string `json:"name" yaml:"name"`
	// Metric renames the metric, so that a scorer can be used twice (not json).
	Metric string `json:"metric,omitempty" yaml:"metric"`
	// IgnoreCase compares without regard to letter case (exact, contains, regex).
	IgnoreCase bool `json:"ignore_case,omitempty" yaml:"ignore_case"`
	// IgnorePunctuation compares letters and digits only (exact, contains).
	IgnorePunctuation bool `json:"ignore_punctuation,omitempty" yaml:"ignore_punctuation"`
	// Pattern is a regular expression in Go's syntax (regex). With a group, the
	// first group must equal the target. Without Pattern the target is the pattern.
	Pattern string `json:"pattern,omitempty" yaml:"pattern"`
	// Fields get a metric each, "field:NAME"; the others are slots (json).
	Fields []string `json:"fields,omitempty" yaml:"fields"`
	// Extract takes the first JSON object out of surrounding text (json, json-schema).
	Extract bool `json:"extract,omitempty" yaml:"extract"`
	// Schema is the path of a JSON schema, or the schema itself (json-schema).
	Schema string `json:"schema,omitempty" yaml:"schema"`
	// Tolerance is the largest absolute difference that counts as equal (numeric).
	Tolerance float64 `json:"tolerance,omitempty" yaml:"tolerance"`
	// RelativeTolerance is that as a part of the target's size (numeric).
	RelativeTolerance float64 `json:"relative_tolerance,omitempty" yaml:"relative_tolerance"`
	// DecimalComma reads 1.234,5 as one thousand two hundred thirty-four and a half (numeric).
	DecimalComma bool `json:"decimal_comma,omitempty" yaml:"decimal_comma"`
	// Normalise divides a candidate's log-probability by its "tokens" or
	// "bytes"; empty compares sums (choice).
	Normalise string `json:"normalise,omitempty" yaml:"normalise"`
}

// maker builds a scorer; options names the settings it reads.
type maker struct {
	build   func(ScorerSpec) (Scorer, error)
	options []string
}

// makers holds every scorer by name.
var makers = map[string]maker{
	"exact":       {newExact, []string{"metric", "ignore_case", "ignore_punctuation"}},
	"contains":    {newContains, []string{"metric", "ignore_case", "ignore_punctuation"}},
	"regex":       {newRegex, []string{"metric", "ignore_case", "pattern"}},
	"json":        {newJSON, []string{"fields", "extract"}},
	"json-schema": {newSchema, []string{"metric", "schema", "extract"}},
	"numeric":     {newNumeric, []string{"metric", "tolerance", "relative_tolerance", "decimal_comma"}},
	"rouge-l":     {newRouge, []string{"metric"}},
	"choice":      {newChoice, []string{"metric", "normalise"}},
}

// New makes the scorer that spec names.
func New(spec ScorerSpec) (Scorer, error) {
	m, ok := makers[spec.Name]
	if !ok {
		names := make([]string, 0, len(makers))
		for n := range makers {
			names = append(names, n)
		}
		slices.Sort(names)
		return nil, fmt.Errorf("scorer %q: unknown; expected one of %s", spec.Name, strings.Join(names, ", "))
	}
	for _, opt := range spec.given() {
		if !slices.Contains(m.options, opt) {
			return nil, fmt.Errorf("scorer %q has no option %q; it has %s", spec.Name, opt, strings.Join(m.options, ", "))
		}
	}
	s, err := m.build(spec)
	if err != nil {
		return nil, fmt.Errorf("scorer %q: %w", spec.Name, err)
	}
	return s, nil
}

// NewAll makes all scorers of a list and refuses two of one metric name.
func NewAll(specs []ScorerSpec) ([]Scorer, error) {
	if len(specs) == 0 {
		return nil, errors.New("no scorers; name at least one, for example exact")
	}
	var all []Scorer
	owner := map[string]string{}
	for _, spec := range specs {
		s, err := New(spec)
		if err != nil {
			return nil, err
		}
		for _, m := range s.Metrics() {
			if by, taken := owner[m]; taken {
				return nil, fmt.Errorf("scorer %q: metric %q already comes from scorer %q; rename one with the option metric", spec.Name, m, by)
			}
			owner[m] = spec.Name
		}
		all = append(all, s)
	}
	return all, nil
}

// given lists the options that are set.
func (s ScorerSpec) given() []string {
	var out []string
	for _, o := range []struct {
		name string
		set  bool
	}{
		{"metric", s.Metric != ""},
		{"ignore_case", s.IgnoreCase},
		{"ignore_punctuation", s.IgnorePunctuation},
		{"pattern", s.Pattern != ""},
		{"fields", len(s.Fields) > 0},
		{"extract", s.Extract},
		{"schema", s.Schema != ""},
		{"tolerance", s.Tolerance != 0},
		{"relative_tolerance", s.RelativeTolerance != 0},
		{"decimal_comma", s.DecimalComma},
		{"normalise", s.Normalise != ""},
	} {
		if o.set {
			out = append(out, o.name)
		}
	}
	return out
}

// metric returns the metric's name: the given one or the default.
func (s ScorerSpec) metric(def string) string {
	if s.Metric != "" {
		return s.Metric
	}
	return def
}

// single is a scorer of one metric.
type single struct {
	name  string
	judge func(item dlm.Item, completion string) dlm.Score
}

// Metrics returns the one metric's name.
func (s single) Metrics() []string { return []string{s.name} }

// Score judges by the one function.
func (s single) Score(item dlm.Item, completion string) map[string]dlm.Score {
	return map[string]dlm.Score{s.name: s.judge(item, completion)}
}

// right and wrong are binary scores; unscored says why there is none.
func right() dlm.Score { return dlm.Score{Value: 1} }

func wrong(format string, args ...any) dlm.Score {
	return dlm.Score{Why: fmt.Sprintf(format, args...)}
}

func unscored(format string, args ...any) dlm.Score {
	return dlm.Score{Unscored: true, Why: fmt.Sprintf(format, args...)}
}
