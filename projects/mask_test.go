package projects_test

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// What differs from one run of a demo to the next, or from machine to machine,
// is masked before two outputs are compared: digests, run ids, times, sizes,
// figures, who ran it, and what a model answered. Everything else must be the
// same: headings, commands, exit codes, the words of each line, the gate's
// outcome, and the served log-probability's difference from the trained one.

// rule replaces what a pattern finds.
type rule struct {
	find *regexp.Regexp
	put  string
}

func rules(pairs ...string) []rule {
	var out []rule
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, rule{regexp.MustCompile(pairs[i]), pairs[i+1]})
	}
	return out
}

func apply(rs []rule, s string) string {
	for _, r := range rs {
		s = r.find.ReplaceAllString(s, r.put)
	}
	return s
}

var (
	// asIs are lines whose every figure counts.
	asIs = regexp.MustCompile(`^\d\. |^status \d+: |^\((refused, )?exit code \d\)$`)

	// wholeLines are about the machine, or a model's own words.
	wholeLines = rules(
		`^dlm \S+, go.*$`, "dlm <version>",
		`^(processor|threads|memory|kernels|base|memory:) .*$`, "$1 <machine>",
		`^(\s*)->.*$`, "$1-> <answer>",
		`^  \|.*$`, "  | <answer>",
		`^  (fixed|broken)\b.*$`, "  $1 <message>",
		`^         (target|candidate|baseline)\b.*$`, "         $1 <answer>",
		`^\s+\d+\s+-?\d+\.\d+  ".*"$`, "  <token>",
		`^\[\[.*\]\]⏎$`, "[[<completion>]]⏎",
		`^(bank|claims|sql|abstracts): .*$`, "$1: <message>",
	)

	// ids stand in commands and in answers.
	ids = rules(
		`--completion '.*' --end`, "--completion <answer> --end",
		`\b[0-9a-f]{64}\b`, "<digest>",
		`\br-\d{6}-\d{6}-[0-9a-f]{5}\b`, "<run>",
		`\b[0-9a-f]{12}\b`, "<id>",
		`, by [^\s)]+\)`, ", by <user>)",
		`127\.0\.0\.1:\d+`, "<address>",
		`\b\d{4}-\d\d-\d\d \d\d:\d\d\b`, "<when>",
		`(\S+@(prod|canary) <id> \(\d+\)(, )?)+$`, "<versions>",
	)

	figures = rules(
		`<1 ms`, "0 ms",
		`(^|[\s\[(=*])[-+]?\d+(\.\d+)?(e[-+]?\d+)?`, "$1<n>",
		`<n> min <n> s`, "<time>",
		`<n> (ms|s|h)\b`, "<time>",
		`<n> ([KMG]iB|B)\b`, "<size>",
		`\*?\s*<n>\s*\[\s*<n>,\s*<n>\]`, " <n> [<n>, <n>]",
		`  best so far$`, "",
		`(<n>)/\d+`, "$1/<n>",
	)

	difference = regexp.MustCompile(`^(served ).*, (trained ).*, (largest difference of a token: .*)$`)
	spaces     = regexp.MustCompile(`(\S)\s{2,}`)
)

// maskLine is one line with what may differ taken out.
func maskLine(s string) string {
	s = strings.TrimRight(s, " ")
	if asIs.MatchString(s) {
		return s
	}
	if m := difference.FindStringSubmatch(s); m != nil {
		return m[1] + "<n>, " + m[2] + "<n>, " + m[3]
	}
	if whole := apply(wholeLines, s); whole != s {
		return whole
	}
	s = apply(ids, s)
	if strings.HasPrefix(s, "$ ") { // the figures of a command count
		return s
	}
	return spaces.ReplaceAllString(apply(figures, s), "$1 ")
}

// mask is a whole output, masked; the same line several times in a row (an
// answer of many lines, tokens, kernel sets) becomes one.
func mask(text string) []string {
	var out []string
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		out = append(out, maskLine(line))
	}
	return slices.Compact(out)
}

// step is a command of a demo and what follows it.
type step struct {
	command string
	lines   []string
}

// sizeOnly are rules on top for the run on a checkpoint that knows nothing: how
// many steps, items and metrics there are, and who is best, may differ too.
var sizeOnly = rules(
	`^(gate: \w+) - .*$`, "$1 - <reason>",
	`\b(zero-shot|few-shot-4|nearest-copy|linear) on record`, "<arm> on record",
	`against (zero-shot|few-shot-4|nearest-copy|linear)\b`, "against <arm>",
	`–`, "<n> [<n>, <n>]",
	`^  (fixed|broken) <message>$`, "  <changed> <message>",
)

// outline cuts a masked output into its commands, each with the distinct lines
// that it printed, in the order of their first appearance.
func outline(masked []string) []step {
	steps := []step{{}}
	for _, line := range masked {
		if strings.HasPrefix(line, "$ ") {
			steps = append(steps, step{command: line})
			continue
		}
		s := &steps[len(steps)-1]
		if line = apply(sizeOnly, line); line != "" && !slices.Contains(s.lines, line) {
			s.lines = append(s.lines, line)
		}
	}
	return steps
}

// row is a line of a table of arms.
var row = regexp.MustCompile(`^(\S+) .*\[ *\d`)

var cell = regexp.MustCompile(`(\d+\.\d) \[`)

// tableDrift compares the percentages of two lines of a table that are the same
// but for figures; it is the largest difference in points, 0 for other lines.
func tableDrift(a, b string) float64 {
	if !row.MatchString(a) || !row.MatchString(b) {
		return 0
	}
	x, y := cell.FindAllStringSubmatch(a, -1), cell.FindAllStringSubmatch(b, -1)
	if len(x) != len(y) {
		return math.Inf(1)
	}
	worst := 0.0
	for i := range x {
		u, _ := strconv.ParseFloat(x[i][1], 64)
		v, _ := strconv.ParseFloat(y[i][1], 64)
		worst = max(worst, math.Abs(u-v))
	}
	return worst
}
