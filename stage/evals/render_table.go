package evals

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"dlm"
)

// TableOptions say how WriteTable writes.
type TableOptions struct {
	Color   bool     // ANSI colours
	Width   int      // columns of the terminal, 0 = do not care
	Metrics []string // which and in what order; empty = all, the primary one first
}

// WriteTable writes arms by metrics with intervals, in percent, for a terminal.
// The best value of each metric is marked, in bold with Color and with a star
// without. Where Width does not take all metrics, the later ones go into a
// second table below.
func WriteTable(w io.Writer, r dlm.Report, o TableOptions) error {
	metrics := o.Metrics
	if len(metrics) == 0 {
		metrics = metricOrder(r)
	}
	cols := []column{armColumn(r)}
	for _, m := range metrics {
		cols = append(cols, metricColumn(r, m, o.Color))
	}
	cols = append(cols, latencyColumn(r))
	var b strings.Builder
	for rest := cols[1:]; len(rest) > 0; {
		n, width := 0, cols[0].width
		for n < len(rest) && (n == 0 || o.Width == 0 || width+2+rest[n].width <= o.Width) {
			width += 2 + rest[n].width
			n++
		}
		writeColumns(&b, append([]column{cols[0]}, rest[:n]...), len(r.Arms), o.Color)
		if rest = rest[n:]; len(rest) > 0 {
			b.WriteByte('\n')
		}
	}
	fmt.Fprintf(&b, "%s\n", dim(o.Color, tableFooter(r)))
	_, err := io.WriteString(w, b.String())
	return err
}

// metricOrder lists the report's metrics, the primary one first. Metrics that
// no arm has a value of (slots, where records have none) are left out.
func metricOrder(r dlm.Report) []string {
	names := []string{}
	if r.Primary != "" {
		names = append(names, r.Primary)
	}
	for _, a := range r.Arms {
		for _, m := range a.Metrics {
			if m.N > 0 && !slices.Contains(names, m.Name) {
				names = append(names, m.Name)
			}
		}
	}
	return names
}

// column is one column's cells; best marks one of them.
type column struct {
	head  string
	cells []string
	best  []bool
	left  bool
	width int
}

func (c *column) measure() {
	c.width = utf8.RuneCountInString(c.head)
	for _, s := range c.cells {
		c.width = max(c.width, utf8.RuneCountInString(s))
	}
}

func armColumn(r dlm.Report) column {
	c := column{head: "arm", left: true, best: make([]bool, len(r.Arms))}
	for _, a := range r.Arms {
		c.cells = append(c.cells, a.Name)
	}
	c.measure()
	return c
}

func metricColumn(r dlm.Report, name string, color bool) column {
	c := column{head: name, best: make([]bool, len(r.Arms))}
	top := bestValue(r, name)
	for i, a := range r.Arms {
		m, ok := a.Metric(name)
		if !ok || m.N == 0 {
			c.cells = append(c.cells, "–")
			continue
		}
		c.best[i] = m.Value == top
		mark := ""
		if !color {
			mark = " "
			if c.best[i] {
				mark = "*"
			}
		}
		c.cells = append(c.cells, fmt.Sprintf("%s%5.1f [%5.1f, %5.1f]", mark, 100*m.Value, 100*m.Low, 100*m.High))
	}
	c.measure()
	return c
}

// bestValue is the highest value of a metric, -1 when nobody has it.
func bestValue(r dlm.Report, name string) float64 {
	top := -1.0
	for _, a := range r.Arms {
		if m, ok := a.Metric(name); ok && m.N > 0 {
			top = max(top, m.Value)
		}
	}
	return top
}

func latencyColumn(r dlm.Report) column {
	c := column{head: "latency", best: make([]bool, len(r.Arms))}
	for _, a := range r.Arms {
		median, _ := Latency(a)
		c.cells = append(c.cells, duration(median))
	}
	c.measure()
	return c
}

// duration writes milliseconds for people, to two digits.
func duration(ms float64) string {
	switch {
	case ms < 1:
		return "<1 ms"
	case ms < 9.95:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 999.5:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f s", ms/1000)
}

func writeColumns(b *strings.Builder, cols []column, rows int, color bool) {
	for i, c := range cols {
		b.WriteString(dim(color, padded(c, c.head, i)))
	}
	b.WriteByte('\n')
	for row := range rows {
		for i, c := range cols {
			cell := padded(c, c.cells[row], i)
			if color && c.best[row] {
				cell = "\x1b[1;32m" + cell + "\x1b[0m"
			}
			b.WriteString(cell)
		}
		b.WriteByte('\n')
	}
}

// padded brings a cell to its column's width, with two spaces before it.
func padded(c column, cell string, at int) string {
	gap := strings.Repeat(" ", c.width-utf8.RuneCountInString(cell))
	if at == 0 {
		return cell + gap
	}
	if c.left {
		return "  " + cell + gap
	}
	return "  " + gap + cell
}

func dim(color bool, s string) string {
	if !color {
		return s
	}
	return "\x1b[2m" + s + "\x1b[0m"
}

// tableFooter explains the numbers.
func tableFooter(r dlm.Report) string {
	level, methods := 0.0, []string{}
	for _, a := range r.Arms {
		for _, m := range a.Metrics {
			if m.N == 0 {
				continue
			}
			level = m.Level
			if !slices.Contains(methods, m.Method) {
				methods = append(methods, m.Method)
			}
		}
	}
	slices.Sort(methods)
	return fmt.Sprintf("percent with %.0f%% intervals (%s), %d items; latency: median per item", 100*level, strings.Join(methods, ", "), r.Items)
}
