// Command curves measures how cost grows with work: tokens a second over the
// length of a prompt, the depth at which a token is made, the rows of a batch
// and the adapters in it, on one thread and on all. It runs `dlm bench` once a
// point, so that each has a process and a peak memory of its own, and writes
// every figure, a table and a plot.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "curves:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dlm := flag.String("dlm", "bin/dlm", "dlm binary")
	base := flag.String("model", "", "GGUF of the base")
	out := flag.String("out", "bench/out", "folder for curves.json, curves.md and curves.svg")
	rounds := flag.Int("rounds", 1, "times that every point is measured; the median counts")
	long := flag.Int("long", 8192, "longest sequence in tokens")
	threads := flag.Int("threads", runtime.GOMAXPROCS(0), "threads of the curves; one thread is measured besides")
	title := flag.String("title", "", "what was measured, for the plot")
	plot := flag.String("plot", "", "only make table and plot again from this curves.json")
	flag.Parse()

	var r results
	if *plot != "" {
		b, err := os.ReadFile(*plot)
		if err == nil {
			err = json.Unmarshal(b, &r)
		}
		if err != nil {
			return err
		}
		return write(*out, r)
	}
	if *base == "" {
		return fmt.Errorf("-model is missing")
	}
	r.Title, r.Date = *title, time.Now().UTC().Format("2006-01-02")
	m := measurer{dlm: *dlm, base: *base, rounds: *rounds}
	for _, c := range curves(*long) {
		for _, n := range []int{*threads, 1} {
			points, err := m.curve(ctx, c, n, n == 1 && *threads > 1)
			r.Points = append(r.Points, points...)
			if err != nil {
				return err
			}
			if *threads == 1 {
				break
			}
		}
	}
	return write(*out, r)
}

// results is curves.json.
type results struct {
	Title  string  `json:"title"`
	Date   string  `json:"date"`
	Points []point `json:"points"`
}

// point is one measured figure.
type point struct {
	Curve   string    `json:"curve"`
	X       int       `json:"x"`
	Threads int       `json:"threads"`
	Rate    float64   `json:"tokens_per_second"` // median of the rounds
	Runs    []float64 `json:"runs"`
	Peak    int64     `json:"peak_rss_bytes"` // largest of the rounds
}

type measurer struct {
	dlm, base string
	rounds    int
}

// curve measures the points of one curve; few = only those marked for one thread.
func (m *measurer) curve(ctx context.Context, c curve, threads int, few bool) (out []point, err error) {
	for _, x := range c.xs {
		if few && !x.few {
			continue
		}
		p := point{Curve: c.name, X: x.x, Threads: threads}
		for range m.rounds {
			rate, peak, err := m.once(ctx, c.args(x.x), threads)
			if err != nil {
				return out, fmt.Errorf("%s at %d, %d threads: %w", c.name, x.x, threads, err)
			}
			p.Runs, p.Peak = append(p.Runs, rate), max(p.Peak, peak)
		}
		p.Rate = median(p.Runs)
		fmt.Fprintf(os.Stderr, "%-28s %6d  %d threads  %8.1f tokens/s  %5.2f GiB\n", c.name, p.X, threads, p.Rate, gib(p.Peak))
		out = append(out, p)
	}
	return out, nil
}

// once runs dlm bench and reads its JSON.
func (m *measurer) once(ctx context.Context, args []string, threads int) (rate float64, peak int64, err error) {
	args = append(append([]string{"bench"}, args...), "--model", m.base, "--threads", strconv.Itoa(threads), "--json")
	cmd := exec.CommandContext(ctx, m.dlm, args...)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return 0, 0, fmt.Errorf("dlm %v: %w: %s", args, err, text)
	}
	var r struct {
		Rate    float64 `json:"tokens_per_second"`
		Peak    int64   `json:"peak_rss_bytes"`
		Threads int     `json:"threads"`
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return 0, 0, fmt.Errorf("dlm %v printed no JSON: %w", args, err)
	}
	if r.Rate <= 0 || r.Threads != threads {
		return 0, 0, fmt.Errorf("dlm %v: %v tokens/s on %d threads", args, r.Rate, r.Threads)
	}
	return r.Rate, r.Peak, nil
}

// write writes the three files.
func write(dir string, r results) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	for name, text := range map[string]string{"curves.json": string(raw) + "\n", "curves.md": table(r), "curves.svg": svg(r)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
