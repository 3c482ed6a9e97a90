package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Measures of the plot, in pixels: the loss above, the difference below.
const (
	width, left, right        = 760, 70, 24
	lossTop, lossH            = 78, 230
	diffTop, diffH            = 352, 120
	height                    = 522
	nativeColour, otherColour = "#1f5fbf", "#d2691e"
)

// relative is the difference of a and b as a part of their size.
func relative(a, b float64) float64 {
	if a == b {
		return 0
	}
	return math.Abs(a-b) / max(math.Abs(a), math.Abs(b))
}

// table lists the steps.
func table(r results) string {
	var b strings.Builder
	fmt.Fprintf(&b, "largest relative difference of the loss %.2e, mean %.2e, over %d steps of %d rows\n\n", r.Largest, r.Mean, len(r.Steps), r.Batch)
	b.WriteString("| step | loss, native | loss, TRL | relative difference | norm of the gradient, native | TRL |\n|--:|--:|--:|--:|--:|--:|\n")
	for _, s := range r.Steps {
		fmt.Fprintf(&b, "| %d | %.6f | %.6f | %.1e | %.4f | %.4f |\n", s.Step, s.Native, s.TRL, s.difference(), s.NativeNorm, s.TRLNorm)
	}
	return b.String()
}

// svg draws both losses over the steps, and their difference on a logarithmic axis.
func svg(r results) string {
	plotW := float64(width - left - right)
	px := func(i int) float64 { return left + plotW*float64(i)/float64(max(1, len(r.Steps)-1)) }
	top := 0.0
	for _, s := range r.Steps {
		top = max(top, s.Native, s.TRL)
	}
	top = math.Ceil(top)
	py := func(loss float64) float64 { return lossTop + lossH*(1-loss/top) }
	const low, high = -8.0, -2.0
	pd := func(d float64) float64 {
		return diffTop + diffH*(high-min(high, max(low, math.Log10(max(d, 1e-12)))))/(high-low)
	}

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="Helvetica, Arial, sans-serif" font-size="11" fill="#333">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="16" y="24" font-size="15" font-weight="bold">One adapter, two trainers: the loss of each step</text>`+"\n")
	fmt.Fprintf(&b, `<text x="16" y="42" fill="#666">%s</text>`+"\n", html.EscapeString(r.Title))
	fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="60" y2="60" stroke="%s" stroke-width="5" stroke-opacity="0.45"/><text x="%d" y="64">native engine</text>`, left, left+24, nativeColour, left+30)
	fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="60" y2="60" stroke="%s" stroke-width="1.5"/><text x="%d" y="64">TRL %s (drawn on top)</text>`+"\n", left+130, left+154, otherColour, left+160, html.EscapeString(r.Made["trl"]))
	for t := 0.0; t <= top; t++ {
		grid(&b, py(t), fmt.Sprintf("%.0f", t))
	}
	for e := low; e <= high; e += 2 {
		grid(&b, pd(math.Pow(10, e)), fmt.Sprintf("1e%.0f", e))
	}
	fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#b00" stroke-dasharray="4 3"/><text x="%d" y="%.1f" text-anchor="end" fill="#b00">goal 1e-3</text>`+"\n",
		left, width-right, pd(1e-3), pd(1e-3), width-right-4, pd(1e-3)-4)
	label(&b, lossTop+lossH/2, "loss, nats a token")
	label(&b, diffTop+diffH/2, "relative difference")
	var mine, theirs, diff []string
	for i, s := range r.Steps {
		mine, theirs = append(mine, fmt.Sprintf("%.1f,%.1f", px(i), py(s.Native))), append(theirs, fmt.Sprintf("%.1f,%.1f", px(i), py(s.TRL)))
		diff = append(diff, fmt.Sprintf("%.1f,%.1f", px(i), pd(s.difference())))
		fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="2" fill="#333"/>`, px(i), pd(s.difference()))
		if s.Step == 1 || s.Step%10 == 0 {
			fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%d</text>`, px(i), diffTop+diffH+18, s.Step)
		}
	}
	fmt.Fprintf(&b, "\n"+`<polyline points="%s" fill="none" stroke="%s" stroke-width="5" stroke-opacity="0.45"/>`+"\n", strings.Join(mine, " "), nativeColour)
	fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>`+"\n", strings.Join(theirs, " "), otherColour)
	fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="#333" stroke-width="1"/>`+"\n", strings.Join(diff, " "))
	fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle" fill="#666">step of %d rows; largest relative difference %.1e, mean %.1e</text>`+"\n", left+plotW/2, height-12, r.Batch, r.Largest, r.Mean)
	b.WriteString("</svg>\n")
	return b.String()
}

func grid(b *strings.Builder, y float64, text string) {
	fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#e3e3e3"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", left, width-right, y, y, left-6, y+4, text)
}

func label(b *strings.Builder, y int, text string) {
	fmt.Fprintf(b, `<text transform="translate(18 %d) rotate(-90)" text-anchor="middle" fill="#666">%s</text>`+"\n", y, text)
}
