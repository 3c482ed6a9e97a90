package card

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The head of a card, as the Hub reads it: see Model Cards in its documentation.
// Texts are written as JSON strings, which YAML reads as they are.

// front is the YAML between two lines of dashes.
func (c Card) front() string {
	var b strings.Builder
	b.WriteString("---\n")
	if c.Base.Repo != "" { // another name would lead nowhere
		fmt.Fprintf(&b, "base_model: %s\nbase_model_relation: adapter\n", quote(c.Base.Repo))
	}
	b.WriteString("library_name: peft\npipeline_tag: text-generation\n")
	if c.Author.Licence != "" {
		fmt.Fprintf(&b, "license: %s\n", quote(c.Author.Licence))
	}
	list(&b, "language", c.Author.Languages)
	list(&b, "datasets", c.Author.Datasets)
	tags := []string{"lora", "dlm"}
	if m := c.Recipe["method"]; m != "" {
		tags = append(tags, m)
	}
	for _, t := range c.Author.Tags {
		if !slices.Contains(tags, t) {
			tags = append(tags, t)
		}
	}
	list(&b, "tags", tags)
	c.index(&b)
	b.WriteString("---\n")
	return b.String()
}

// index is the part from which the Hub shows results: the metrics of the
// adapter's arm on the golden set.
func (c Card) index(b *strings.Builder) {
	arm, ok := c.arm()
	if !ok || len(arm.Metrics) == 0 || c.Golden == nil {
		return
	}
	fmt.Fprintf(b, "model-index:\n- name: %s\n  results:\n  - task:\n      type: text-generation\n    dataset:\n      type: %s\n      name: %s\n      revision: %s\n    metrics:\n",
		quote(c.Name), quote("golden-set"), quote(c.Golden.Name+" (golden set, not published)"), quote(string(c.Golden.Digest)))
	for _, m := range arm.Metrics {
		fmt.Fprintf(b, "    - type: %s\n      name: %s\n      value: %s\n", quote(m.Name),
			quote(fmt.Sprintf("%s, %.0f%% interval %s to %s, n = %d", m.Name, 100*m.Level, percent(m.Low), percent(m.High), m.N)), number(m.Value))
	}
}

func list(b *strings.Builder, key string, values []string) {
	if len(values) == 0 {
		return
	}
	fmt.Fprintf(b, "%s:\n", key)
	for _, v := range values {
		fmt.Fprintf(b, "- %s\n", quote(v))
	}
}

func quote(s string) string {
	raw, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always encodes
	}
	return string(raw)
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

func percent(v float64) string { return strconv.FormatFloat(100*v, 'f', 1, 64) + "%" }
