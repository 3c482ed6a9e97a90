package lora

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"dlm/engine/model"
)

// Pattern gives another rank or alpha to the projections that it matches, as
// PEFT's rank_pattern and alpha_pattern do.
type Pattern struct {
	// Match is a regular expression. It must match the end of a projection's name,
	// such as model.layers.0.self_attn.q_proj, from its beginning or from after a
	// dot: q_proj matches every layer's, layers\.0\..*_proj all of layer 0.
	Match string
	Value float64
}

// projectionSize is the rank and the alpha of one projection.
type projectionSize struct {
	rank  int
	alpha float64
}

// sizes returns the rank and alpha of every adapted projection of a base with
// that many layers. The first pattern that matches wins (PEFT's
// get_pattern_key). A pattern that decides nothing is an error: it is a mistake
// in a name, or hidden behind an earlier pattern.
func (c Config) sizes(layers int) ([][model.NumModules]projectionSize, error) {
	ranks, err := compile("rank_pattern", c.RankPattern)
	if err != nil {
		return nil, err
	}
	alphas, err := compile("alpha_pattern", c.AlphaPattern)
	if err != nil {
		return nil, err
	}
	sizes := make([][model.NumModules]projectionSize, layers)
	for l := range sizes {
		for _, m := range c.modules() {
			path := modulePath(l, m)
			sizes[l][m] = projectionSize{int(ranks.value(path, float64(c.Rank))), alphas.value(path, c.Alpha)}
		}
	}
	return sizes, errors.Join(ranks.unused(c.modules(), layers), alphas.unused(c.modules(), layers))
}

// patterns are compiled patterns of one field, and which of them decided something.
type patterns struct {
	field string
	list  []Pattern
	re    []*regexp.Regexp
	used  []bool
}

func compile(field string, list []Pattern) (*patterns, error) {
	p := &patterns{field: field, list: list, used: make([]bool, len(list))}
	for _, pat := range list {
		re, err := pat.compile()
		if err != nil {
			return nil, fmt.Errorf("%s: %q: %w", field, pat.Match, err)
		}
		p.re = append(p.re, re)
	}
	return p, nil
}

// notPython are pieces of Go's regular expressions that Python reads otherwise
// or not at all.
var notPython = regexp.MustCompile(`\[\^?\[?:|\{,|\\[QECpPz]|\(\?[^:P]|\(\?P[^<]`)

// compile reads the pattern as PEFT does: Python's re.match of (.*\.)?(MATCH)$.
func (p Pattern) compile() (*regexp.Regexp, error) {
	if bad := notPython.FindString(p.Match); bad != "" {
		return nil, fmt.Errorf("%s is not supported; expected a plain regular expression such as layers\\.0\\..*q_proj", bad)
	}
	re, err := regexp.Compile(`^(?:(.*\.)?(` + p.Match + `)$)`)
	if err != nil {
		return nil, fmt.Errorf("not a regular expression that is supported here (no look-around, no back-references): %w", err)
	}
	return re, nil
}

// value returns what the first matching pattern says of a projection.
func (p *patterns) value(path string, otherwise float64) float64 {
	for i, re := range p.re {
		if re.MatchString(path) {
			p.used[i] = true
			return p.list[i].Value
		}
	}
	return otherwise
}

func (p *patterns) unused(modules []model.Module, layers int) error {
	for i, used := range p.used {
		if !used {
			return fmt.Errorf("%s: %q decides nothing: expected it to match an adapted projection, such as %s, that no earlier pattern matches (target_modules %v, %d layers); correct it or remove it",
				p.field, p.list[i].Match, modulePath(0, modules[0]), modules, layers)
		}
	}
	return nil
}

// validatePatterns checks values and syntax; sizes checks names.
func (c Config) validatePatterns() error {
	for _, p := range c.RankPattern {
		if p.Value != math.Trunc(p.Value) || !(p.Value >= 1 && p.Value <= MaxRank) {
			return fmt.Errorf("rank_pattern: %q is %v; expected a whole number from 1 to %d", p.Match, p.Value, MaxRank)
		}
	}
	for _, p := range c.AlphaPattern {
		if !(p.Value > 0) || math.IsInf(p.Value, 0) {
			return fmt.Errorf("alpha_pattern: %q is %v; expected a positive number", p.Match, p.Value)
		}
	}
	_, err := compile("rank_pattern", c.RankPattern)
	if err == nil {
		_, err = compile("alpha_pattern", c.AlphaPattern)
	}
	return err
}

// parsePatterns reads PEFT's object of patterns; its order counts.
func parsePatterns(field string, raw json.RawMessage) ([]Pattern, error) {
	if len(raw) == 0 || off(raw) {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	wrong := fmt.Errorf("%s is %s; expected an object of patterns and numbers", field, short(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, wrong
	}
	var list []Pattern
	seen := map[string]bool{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, wrong
		}
		p := Pattern{Match: key.(string)} // an object's key is a string
		if err := d.Decode(&p.Value); err != nil {
			return nil, wrong
		}
		if seen[p.Match] {
			return nil, fmt.Errorf("%s names %q twice", field, p.Match)
		}
		seen[p.Match] = true
		list = append(list, p)
	}
	return list, nil
}

// patternsJSON writes an object of patterns in their order.
func patternsJSON(list []Pattern) json.RawMessage {
	var parts []string
	for _, p := range list {
		key, _ := json.Marshal(p.Match) // a string always encodes
		parts = append(parts, string(key)+": "+strconv.FormatFloat(p.Value, 'f', -1, 64))
	}
	return json.RawMessage("{" + strings.Join(parts, ", ") + "}")
}

// patternsText writes patterns for people.
func patternsText(list []Pattern) string {
	var parts []string
	for _, p := range list {
		parts = append(parts, fmt.Sprintf("%s: %v", p.Match, p.Value))
	}
	return strings.Join(parts, ", ")
}
