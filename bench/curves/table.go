package main

import (
	"fmt"
	"slices"
	"strings"
)

// table prints each curve: what grows in the columns, a row a thread count, and
// the peak memory of the row with most threads.
func table(r results) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s\n", r.Date, r.Title)
	for _, c := range curves(1 << 20) {
		points := of(r, c.name)
		if len(points) == 0 {
			continue
		}
		var xs, threads []int
		for _, p := range points {
			if !slices.Contains(xs, p.X) {
				xs = append(xs, p.X)
			}
			if !slices.Contains(threads, p.Threads) {
				threads = append(threads, p.Threads)
			}
		}
		fmt.Fprintf(&b, "\n| %s: %s |", c.name, c.axis)
		for _, x := range xs {
			fmt.Fprintf(&b, " %d |", x)
		}
		fmt.Fprintf(&b, "\n|---|%s\n", strings.Repeat("---:|", len(xs)))
		row := func(label string, threads int, cell func(p point) string) {
			fmt.Fprintf(&b, "| %s |", label)
			for _, x := range xs {
				text := ""
				if i := slices.IndexFunc(points, func(p point) bool { return p.X == x && p.Threads == threads }); i >= 0 {
					text = cell(points[i])
				}
				fmt.Fprintf(&b, " %s |", text)
			}
			fmt.Fprintln(&b)
		}
		for _, n := range threads {
			row("tokens/s, "+threadWords(n), n, func(p point) string { return fmt.Sprintf("%.0f", p.Rate) })
		}
		row("peak memory, GiB", threads[0], func(p point) string { return fmt.Sprintf("%.2f", gib(p.Peak)) })
	}
	return b.String()
}

// of returns a curve's points.
func of(r results, curve string) (out []point) {
	for _, p := range r.Points {
		if p.Curve == curve {
			out = append(out, p)
		}
	}
	return out
}

func threadWords(n int) string {
	if n == 1 {
		return "1 thread"
	}
	return fmt.Sprintf("%d threads", n)
}
