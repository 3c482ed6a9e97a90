package card

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"dlm"
)

// Markdown is the card: README.md of the repository.
func (c Card) Markdown() []byte {
	var b strings.Builder
	b.WriteString(c.front())
	for _, part := range []func(*strings.Builder){c.summary, c.use, c.evaluation, c.verdict, c.intended, c.limits, c.base, c.data, c.training, c.lineage} {
		b.WriteByte('\n')
		part(&b)
	}
	return []byte(b.String())
}

func (c Card) summary(b *strings.Builder) {
	fmt.Fprintf(b, "# %s\n\nA LoRA adapter for %s", line(c.Name), c.baseLink())
	if c.Origin != "" {
		fmt.Fprintf(b, ", %s", line(c.Origin))
	}
	b.WriteString(". ")
	arm, ok := c.arm()
	m, has := dlm.Metric{}, false
	if ok {
		m, has = arm.Metric(c.Report.Primary)
	}
	switch {
	case has:
		fmt.Fprintf(b, "On its golden set of %d items it has %s %s (%.0f%% interval %s to %s).\n", c.Report.Items, line(m.Name), percent(m.Value), 100*m.Level, percent(m.Low), percent(m.High))
	default:
		b.WriteString("It has not been evaluated.\n")
	}
}

// baseLink names the base, with a link where it is on the Hub.
func (c Card) baseLink() string {
	switch {
	case c.Base.Repo != "":
		return fmt.Sprintf("[%s](https://huggingface.co/%s)", line(c.Base.Repo), c.Base.Repo)
	case c.Base.Name != "":
		return line(c.Base.Name)
	}
	return "a base without a name"
}

func (c Card) use(b *strings.Builder) {
	b.WriteString("## Use\n\nIt fits exactly the base, tokenizer and chat template named below; `dlm` refuses others.\n\n")
	at := c.Repo
	if at == "" {
		at = "THIS_FOLDER"
	}
	base := c.Base.Repo
	if base == "" {
		base = "BASE"
	}
	fmt.Fprintf(b, "```python\nfrom peft import PeftModel\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"+
		"tokenizer = AutoTokenizer.from_pretrained(%s)\nmodel = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(%s), %s)\n```\n", quote(at), quote(base), quote(at))
	if c.Repo != "" {
		fmt.Fprintf(b, "\nWith `dlm`, in a project on the same base: `dlm pull hf:%s`.\n", c.Repo)
	}
	if c.System != "" {
		fmt.Fprintf(b, "\nIt was trained with this system message, and expects it:\n\n%s\n", block(c.System))
	}
}

func (c Card) evaluation(b *strings.Builder) {
	b.WriteString("## Evaluation\n\n")
	arm, ok := c.arm()
	if !ok {
		b.WriteString("Not evaluated: there is no report on this adapter.\n")
		return
	}
	fmt.Fprintf(b, "%d items that were never trained on", c.Report.Items)
	if c.Golden != nil {
		fmt.Fprintf(b, " (`%s`, sha256 `%s`)", code(c.Golden.Name), c.Golden.Digest.Hex())
	}
	b.WriteString(", answered by the adapter and by what needs no adapter.\n\n| |")
	for _, m := range arm.Metrics {
		name := line(m.Name)
		if m.Name == c.Report.Primary {
			name = "**" + name + "**"
		}
		fmt.Fprintf(b, " %s |", name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(arm.Metrics)) + "\n")
	arms := append([]dlm.Arm{arm}, slices.DeleteFunc(slices.Clone(c.Report.Arms), func(a dlm.Arm) bool { return a.Name == arm.Name || a.Adapter != "" })...)
	for i, a := range arms {
		name := line(a.Name)
		if i == 0 {
			name = "**" + name + "** (this adapter)"
		}
		fmt.Fprintf(b, "| %s |", name)
		for _, want := range arm.Metrics {
			m, ok := a.Metric(want.Name)
			if !ok {
				b.WriteString(" - |")
				continue
			}
			fmt.Fprintf(b, " %s [%s, %s]", percent(m.Value), percent(m.Low), percent(m.High))
			if m.Unscored > 0 {
				fmt.Fprintf(b, ", %d unscored", m.Unscored)
			}
			b.WriteString(" |")
		}
		b.WriteByte('\n')
	}
	b.WriteString("\n" + c.howMeasured(arm) + "\n")
	var told []string
	for _, n := range c.Report.Notes {
		if n = line(which.ReplaceAllString(n, "")); !slices.Contains(told, n) {
			told = append(told, n)
			fmt.Fprintf(b, "\nNote: %s\n", n)
		}
	}
}

// howMeasured says what the brackets are.
func (c Card) howMeasured(arm dlm.Arm) string {
	if len(arm.Metrics) == 0 {
		return "The report holds no metric."
	}
	m := arm.Metrics[0]
	text := fmt.Sprintf("In brackets: %.0f%% intervals (%s). The bold metric is the one that decides.", 100*m.Level, line(m.Method))
	if c.Report.Engine != "" {
		text += " Answered by " + line(c.Report.Engine) + "."
	}
	return text
}

func (c Card) verdict(b *strings.Builder) {
	b.WriteString("## Gate\n\n")
	if c.Gate == nil {
		b.WriteString("Not gated: nobody has asked whether it is at least as good as doing without it.\n")
		return
	}
	g := c.Gate
	fmt.Fprintf(b, "**%s**: %s\n\n| | |\n|---|---|\n", strings.ToUpper(string(g.Outcome[:1]))+string(g.Outcome[1:]), line(g.Reason))
	fmt.Fprintf(b, "| metric | %s |\n| against | %s |\n| items in pairs | %d |\n", line(g.Metric), line(g.Baseline), g.N)
	fmt.Fprintf(b, "| difference | %+.1f points, %.0f%% interval %+.1f to %+.1f (%s) |\n| allowed drop | %.1f points |\n",
		100*g.Difference, 100*g.Level, 100*g.Low, 100*g.High, line(g.Method), 100*g.Margin)
	switch {
	case g.Outcome == dlm.Pass:
	case g.Allowed:
		b.WriteString("\nThe project accepts a gate that cannot decide.\n")
	default:
		b.WriteString("\nIt did not pass its gate. Look at the table before you use it.\n")
	}
}

func (c Card) intended(b *strings.Builder) {
	b.WriteString("## Intended use\n\n")
	if c.Author.IntendedUse != "" {
		b.WriteString(strings.TrimSpace(c.Author.IntendedUse) + "\n")
		return
	}
	b.WriteString("Prompts like those of its training data")
	if c.System != "" {
		b.WriteString(", with the system message above")
	}
	b.WriteString(". Its author has stated no other use.\n")
}

func (c Card) limits(b *strings.Builder) {
	b.WriteString("## Limits\n\n")
	if c.Author.Limits != "" {
		b.WriteString(strings.TrimSpace(c.Author.Limits) + "\n\n")
	}
	b.WriteString("It shares the limits and biases of its base. What the evaluation does not ask is not known: prompts unlike the golden set, other\nlanguages, attempts to mislead it. It can be wrong with confidence; do not let it decide alone where a mistake is costly.\n")
	if arm, ok := c.arm(); ok {
		var weak []string
		for _, t := range arm.Tags {
			whole, ok := arm.Metric(t.Metric.Name)
			if ok && t.Metric.Name == c.Report.Primary && t.Metric.N > 0 && t.Metric.High < whole.Value {
				weak = append(weak, fmt.Sprintf("%s %s [%s, %s] of %d", line(t.Tag), percent(t.Metric.Value), percent(t.Metric.Low), percent(t.Metric.High), t.Metric.N))
			}
		}
		if len(weak) > 0 {
			fmt.Fprintf(b, "\nIt is weaker on items with these tags (%s): %s.\n", line(c.Report.Primary), strings.Join(weak, "; "))
		}
	}
}

func (c Card) base(b *strings.Builder) {
	b.WriteString("## Base\n\n| | |\n|---|---|\n")
	fmt.Fprintf(b, "| model | %s |\n", c.baseLink())
	rows := [][2]string{{"revision", tick(c.Base.Commit)}, {"as it was loaded", c.loaded()}, {"weights", tick(string(c.Base.Digest))}, {"tokenizer", tick(c.Base.Tokenizer)}, {"chat template", tick(c.Base.Template)}}
	for _, r := range rows {
		if r[1] == "" {
			r[1] = "not recorded"
		}
		fmt.Fprintf(b, "| %s | %s |\n", r[0], r[1])
	}
	if c.Base.Repo == "" {
		b.WriteString("\nThe base is not known to be on the Hub; its weights are named by their hash above.\n")
	}
	if c.Base.Repo != "" && (c.Base.File != "" || c.Base.Quantize != "") {
		b.WriteString("\nTrained and measured on the base in that form; on the weights as published the figures may differ a little.\n")
	}
	b.WriteString("\nThe base has a licence of its own, which also binds who uses the adapter with it.\n")
}

// loaded says in which form the base's weights were used.
func (c Card) loaded() string {
	var parts []string
	if c.Base.File != "" {
		parts = append(parts, tick(c.Base.File))
	}
	if c.Base.Quantize != "" {
		parts = append(parts, "quantised to "+line(c.Base.Quantize))
	}
	if len(parts) == 0 {
		return "as published"
	}
	return strings.Join(parts, ", ")
}

func (c Card) data(b *strings.Builder) {
	b.WriteString("## Data\n\n")
	all := slices.Clone(c.Data)
	if c.Golden != nil {
		all = append(all, *c.Golden)
	}
	if len(all) == 0 {
		b.WriteString("Not recorded: the adapter was not trained here.\n")
		return
	}
	b.WriteString("| | name | rows | licence | sha256 |\n|---|---|---:|---|---|\n")
	for _, d := range all {
		name, licence := line(d.Name), line(d.Licence)
		if d.Files != "" {
			name += " (" + line(d.Files) + ")"
		}
		if licence == "" {
			licence = "not stated"
		}
		if d.LicenceID != "" && d.LicenceID != d.Licence {
			licence += " (" + line(d.LicenceID) + ")"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | `%s` |\n", line(d.Role), name, line(d.Rows), licence, d.Digest.Hex())
	}
	b.WriteString("\nThe rows themselves are not part of this repository.\n")
	var told []string
	for _, d := range all {
		if t := strings.TrimSpace(d.Attribution); t != "" && !slices.Contains(told, t) {
			told = append(told, t)
			fmt.Fprintf(b, "\n<details><summary>Attribution of the data</summary>\n\n%s\n\n</details>\n", demote(t))
		}
	}
}

func (c Card) training(b *strings.Builder) {
	b.WriteString("## Training\n\n")
	if len(c.Recipe) == 0 {
		b.WriteString("Not recorded: the adapter was not trained here.\n")
	} else {
		b.WriteString("| setting | |\n|---|---|\n")
		for _, k := range slices.Sorted(maps.Keys(c.Recipe)) {
			if v := c.Recipe[k]; v != "" && v != "null" && v != "[]" {
				fmt.Fprintf(b, "| %s | %s |\n", line(k), tick(v))
			}
		}
	}
	licence := "The author states no licence for the adapter."
	if c.Author.Licence != "" {
		licence = "Licence of the adapter: " + line(c.Author.Licence) + "."
	}
	fmt.Fprintf(b, "\n%s\n", licence)
}

func (c Card) lineage(b *strings.Builder) {
	b.WriteString("## Lineage\n\n")
	if c.ID == "" {
		b.WriteString("None: the adapter is a folder outside of any project.\n")
		return
	}
	fmt.Fprintf(b, "Adapter `%s`", c.ID)
	if !c.Created.IsZero() {
		fmt.Fprintf(b, ", made on %s", c.Created.UTC().Format("2006-01-02"))
	}
	if c.Code != "" {
		fmt.Fprintf(b, " by dlm (code %s)", line(c.Code))
	}
	fmt.Fprintf(b, ", seed %d. `%s` holds this page for machines.\n", c.Seed, LineageFile)
}
