// Command shapes measures bases of larger shapes, with random weights made by
// `dlm bench base`: tokens a second of prefill, decode and training, and the
// memory that a training step was planned to take beside what it took.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "shapes:", err)
		os.Exit(1)
	}
}

func run() error {
	dlm := flag.String("dlm", "bin/dlm", "dlm binary")
	out := flag.String("out", "bench/out", "folder for shapes.jsonl and shapes.md; bases are written there too, and removed")
	shapes := flag.String("shapes", "qwen2.5-0.5b,qwen2.5-1.5b", "shapes that `dlm bench base` knows")
	format := flag.String("format", "q4_1", "format of the weights")
	title := flag.String("title", "", "what was measured")
	flag.Parse()
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	var all []measured
	for _, shape := range strings.Split(*shapes, ",") {
		base := filepath.Join(*out, shape+"."+*format+".gguf")
		if _, err := ask(*dlm, "base", "--shape", shape, "--format", *format, "-o", base); err != nil {
			return err
		}
		for _, w := range works {
			r, err := ask(*dlm, append(strings.Fields(w.args), "--model", base)...)
			if err != nil {
				os.Remove(base)
				return err
			}
			r.Shape, r.Work = shape+" "+*format, w.name
			fmt.Fprintf(os.Stderr, "%s: %s: %.1f tokens/s\n", r.Shape, r.Work, r.Rate)
			all = append(all, r)
		}
		if err := os.Remove(base); err != nil {
			return err
		}
	}
	var lines strings.Builder
	for _, r := range all {
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		lines.Write(append(b, '\n'))
	}
	if err := os.WriteFile(filepath.Join(*out, "shapes.jsonl"), []byte(lines.String()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(*out, "shapes.md"), []byte(*title+"\n\n"+table(all)), 0o644)
}

// works are what is asked of each base.
var works = []struct{ name, args string }{
	{"prefill 1 x 512", "prefill --prompt 512 --reps 2"},
	{"prefill 1 x 4096", "prefill --prompt 4096 --reps 1"},
	{"decode 1", "decode --batch 1 --tokens 24 --reps 1"},
	{"decode 8", "decode --batch 8 --tokens 12 --reps 1"},
	{"LoRA step 4 x 512", "train --batch 4 --seq 512 --steps 2"},
	{"LoRA step 1 x 2048", "train --batch 1 --seq 2048 --steps 1"},
	{"LoRA step 1 x 2048, checkpointing", "train --batch 1 --seq 2048 --steps 1 --checkpointing"},
}

// measured is one line of shapes.jsonl.
type measured struct {
	Shape   string           `json:"base"`
	Work    string           `json:"work"`
	Rate    float64          `json:"tokens_per_second"`
	Peak    int64            `json:"peak_rss_bytes"`
	Planned map[string]int64 `json:"planned_bytes,omitempty"`
}

// ask runs dlm bench and reads its JSON.
func ask(dlm string, args ...string) (measured, error) {
	cmd := exec.Command(dlm, append(append([]string{"bench"}, args...), "--json")...)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return measured{}, fmt.Errorf("dlm bench %v: %w: %s", args, err, text)
	}
	var r struct {
		Rate    float64          `json:"tokens_per_second"`
		Peak    int64            `json:"peak_rss_bytes"`
		Planned map[string]int64 `json:"planned_bytes"`
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return measured{}, fmt.Errorf("dlm bench %v printed no JSON: %w", args, err)
	}
	return measured{Rate: r.Rate, Peak: r.Peak, Planned: r.Planned}, nil
}

func table(all []measured) string {
	var b strings.Builder
	b.WriteString("| base | work | tokens/s | peak memory, GiB | planned, GiB | measured / planned |\n|---|---|---:|---:|---:|---:|\n")
	for _, r := range all {
		planned, ratio, sum := "", "", int64(0)
		for _, n := range r.Planned {
			sum += n
		}
		if sum > 0 {
			planned, ratio = fmt.Sprintf("%.2f", float64(sum)/(1<<30)), fmt.Sprintf("%.2f", float64(r.Peak)/float64(sum))
		}
		fmt.Fprintf(&b, "| %s | %s | %.1f | %.2f | %s | %s |\n", r.Shape, r.Work, r.Rate, float64(r.Peak)/(1<<30), planned, ratio)
	}
	return b.String()
}
