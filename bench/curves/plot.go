package main

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// Measures of the plot, in pixels.
const (
	panelW, panelH         = 350, 270
	marginL, marginR       = 58, 20
	marginT, marginB       = 44, 52
	headH, columns         = 56, 3
	plotW, plotH           = panelW - marginL - marginR, panelH - marginT - marginB
	mostThreads, oneThread = "#1f5fbf", "#d2691e"
)

// svg draws a panel a curve: rates on a logarithmic axis, places at equal
// distances (they double from one to the next).
func svg(r results) string {
	var panels []string
	for _, c := range curves(1 << 20) {
		if points := of(r, c.name); len(points) > 0 {
			panels = append(panels, panel(c, points))
		}
	}
	rows := (len(panels) + columns - 1) / columns
	w, h := columns*panelW+10, headH+rows*panelH+6
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="Helvetica, Arial, sans-serif" font-size="11" fill="#333">`+"\n", w, h, w, h)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", w, h)
	fmt.Fprintf(&b, `<text x="16" y="24" font-size="15" font-weight="bold">Cost as work grows: tokens a second</text>`+"\n")
	fmt.Fprintf(&b, `<text x="16" y="42" fill="#666">%s</text>`+"\n", html.EscapeString(r.Title+", "+r.Date))
	legend(&b, w-16, r)
	for i, p := range panels {
		fmt.Fprintf(&b, `<g transform="translate(%d %d)">%s</g>`+"\n", i%columns*panelW+5, headH+i/columns*panelH, p)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// legend names the lines, from the right edge leftwards.
func legend(b *strings.Builder, right int, r results) {
	var threads []int
	for _, p := range r.Points {
		if !slices.Contains(threads, p.Threads) {
			threads = append(threads, p.Threads)
		}
	}
	slices.Sort(threads)
	for _, n := range threads {
		x := right - 66
		fmt.Fprintf(b, `<line x1="%d" y1="20" x2="%d" y2="20" stroke="%s" stroke-width="2"/><text x="%d" y="24">%s</text>`+"\n", x-26, x-4, colour(n), x, threadWords(n))
		right -= 110
	}
}

func colour(threads int) string {
	if threads == 1 {
		return oneThread
	}
	return mostThreads
}

// panel draws one curve.
func panel(c curve, points []point) string {
	var xs []int
	low, high := math.Inf(1), 0.0
	for _, p := range points {
		if !slices.Contains(xs, p.X) {
			xs = append(xs, p.X)
		}
		low, high = min(low, p.Rate), max(high, p.Rate)
	}
	slices.Sort(xs)
	ticks := logTicks(low, high)
	bottom, top := math.Log(ticks[0]), math.Log(ticks[len(ticks)-1])
	px := func(x int) float64 {
		return marginL + (float64(slices.Index(xs, x))+0.5)*plotW/float64(len(xs))
	}
	py := func(rate float64) float64 { return marginT + plotH*(top-math.Log(rate))/(top-bottom) }

	var b strings.Builder
	fmt.Fprintf(&b, `<text x="%d" y="22" font-size="13" font-weight="bold">%s</text>`, marginL, strings.ToUpper(c.name[:1])+c.name[1:])
	for _, t := range ticks {
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#e3e3e3"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`,
			marginL, marginL+plotW, py(t), py(t), marginL-6, py(t)+4, thousands(t))
	}
	for _, x := range xs {
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#999"/><text x="%.1f" y="%d" text-anchor="middle">%d</text>`,
			px(x), px(x), marginT+plotH, marginT+plotH+4, px(x), marginT+plotH+17, x)
	}
	fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%d" y2="%d" stroke="#999"/>`, marginL, marginL+plotW, marginT+plotH, marginT+plotH)
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle" fill="#666">%s</text>`, marginL+plotW/2, panelH-16, html.EscapeString(c.axis))
	fmt.Fprintf(&b, `<text transform="translate(14 %d) rotate(-90)" text-anchor="middle" fill="#666">tokens/s</text>`, marginT+plotH/2)

	var threads []int
	for _, p := range points {
		if !slices.Contains(threads, p.Threads) {
			threads = append(threads, p.Threads)
		}
	}
	for _, n := range threads {
		var path []string
		for _, p := range points {
			if p.Threads != n {
				continue
			}
			path = append(path, fmt.Sprintf("%.1f,%.1f", px(p.X), py(p.Rate)))
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`, px(p.X), py(p.Rate), colour(n))
			dy := -8.0
			if below(points, p) {
				dy = 16
			}
			fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle" font-size="10" fill="%s" stroke="#fff" stroke-width="3" paint-order="stroke">%s</text>`,
				px(p.X), py(p.Rate)+dy, colour(n), thousands(math.Round(p.Rate)))
		}
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`, strings.Join(path, " "), colour(n))
	}
	return b.String()
}

// below says whether p's label goes under it: where another line has a higher
// point, and for one thread where the other line has none.
func below(points []point, p point) bool {
	for _, q := range points {
		if q.X == p.X && q.Threads != p.Threads {
			return q.Rate > p.Rate || q.Rate == p.Rate && q.Threads > p.Threads
		}
	}
	return p.Threads == 1 && slices.ContainsFunc(points, func(q point) bool { return q.Threads > 1 })
}

// logTicks are the numbers 1, 2, 5 times a power of ten around low to high, with
// room for the labels at both ends.
func logTicks(low, high float64) []float64 {
	low, high = low*0.8, high*1.2
	var all []float64
	for e := math.Floor(math.Log10(low)) - 1; e <= math.Ceil(math.Log10(high))+1; e++ {
		for _, m := range []float64{1, 2, 5} {
			all = append(all, m*math.Pow(10, e))
		}
	}
	from := 0
	for from+1 < len(all) && all[from+1] <= low {
		from++
	}
	to := from + 1
	for all[to] < high {
		to++
	}
	return all[from : to+1]
}

// thousands writes a number with commas: 1,200.
func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	if v < 10 && v != math.Round(v) {
		s = fmt.Sprintf("%.1f", v)
	}
	for i := len(s) - 3; i > 0 && !strings.Contains(s, "."); i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
