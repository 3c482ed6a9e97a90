// Command kernels turns the output of `go test -bench . ./engine/kernel` on
// standard input into Markdown tables: the rate of each kernel beside the
// ceiling of this machine.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {
	lines, err := read(os.Stdin)
	if err == nil && len(lines) == 0 {
		err = fmt.Errorf("no benchmark lines on standard input")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "kernels:", err)
		os.Exit(1)
	}
	write(os.Stdout, lines)
}

// line is one benchmark.
type line struct {
	kind, set, what string
	threads         int
	values          map[string]float64 // by unit
}

// name is Benchmark KIND / SET / WHAT / threads=N -GOMAXPROCS.
var name = regexp.MustCompile(`^Benchmark(\w+)/([^/]+)/(.+)/threads=(\d+)(?:-\d+)?$`)

func read(r io.Reader) ([]line, error) {
	var out []line
	s := bufio.NewScanner(r)
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) < 4 {
			continue
		}
		m := name.FindStringSubmatch(f[0])
		if m == nil {
			continue
		}
		l := line{kind: m[1], set: m[2], what: m[3], values: map[string]float64{}}
		l.threads, _ = strconv.Atoi(m[4])
		for i := 2; i+1 < len(f); i += 2 {
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", s.Text(), err)
			}
			l.values[f[i+1]] = v
		}
		out = append(out, l)
	}
	return out, s.Err()
}

// cell is a rate and its share of the ceiling.
func (l line) cell() string {
	for _, unit := range []string{"GFLOP/s", "GB/s"} {
		v, ok := l.values[unit]
		if !ok {
			continue
		}
		if share, ok := l.values["%ceiling"]; ok {
			return fmt.Sprintf("%s %s of %s (%.0f%%)", round(v), unit, round(l.values["ceiling-"+unit]), share)
		}
		return round(v) + " " + unit
	}
	return round(l.values["ns/op"]) + " ns"
}

// round keeps three digits.
func round(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// write prints a table for each set: a row a kernel, a column a thread count.
func write(w io.Writer, lines []line) {
	var sets []string
	var threads []int
	for _, l := range lines {
		if !slices.Contains(sets, l.set) {
			sets = append(sets, l.set)
		}
		if !slices.Contains(threads, l.threads) {
			threads = append(threads, l.threads)
		}
	}
	slices.Sort(threads)
	for _, set := range sets {
		fmt.Fprintf(w, "| %s |", set)
		for _, n := range threads {
			fmt.Fprintf(w, " threads: %d |", n)
		}
		fmt.Fprintf(w, "\n|---|%s\n", strings.Repeat("---:|", len(threads)))
		done := map[string]bool{}
		for _, l := range lines {
			key := l.kind + " " + l.what
			if l.set != set || done[key] {
				continue
			}
			done[key] = true
			fmt.Fprintf(w, "| %s |", strings.ReplaceAll(key, "/", " "))
			for _, n := range threads {
				text := ""
				for _, m := range lines {
					if m.set == set && m.threads == n && m.kind+" "+m.what == key {
						text = m.cell()
					}
				}
				fmt.Fprintf(w, " %s |", text)
			}
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w)
	}
}
