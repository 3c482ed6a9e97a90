package load

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteText writes the report as tables.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	how := fmt.Sprintf("%d requests under way", r.Concurrency)
	if r.Loop == "open" {
		how = fmt.Sprintf("%.3g requests/s, Poisson, at most %d under way", r.Rate, r.PeakRunning)
	}
	fmt.Fprintf(&b, "%s loop, %s, %.1f s, seed %d\n", r.Loop, how, r.Seconds, r.Seed)
	fmt.Fprintf(&b, "%d requests, %d failed; %.2f requests/s, %.1f output tokens/s, %.1f tokens/s with prompts\n",
		r.Requests, r.Failed, r.RequestsPerSecond, r.OutputPerSecond, r.TotalPerSecond)
	if r.Prompt > 0 {
		fmt.Fprintf(&b, "%d prompt tokens, %d (%.0f%%) of them in the server's cache; %d completion tokens%s\n",
			r.Prompt, r.Cached, 100*float64(r.Cached)/float64(r.Prompt), r.Completion, r.guess())
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\nms\tmean\tp50\tp90\tp99\tmax\t\n")
	line := func(name string, s Spread, says string) {
		if s.Count > 0 {
			fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%s\n", name, s.Mean, s.P50, s.P90, s.P99, s.Max, says)
		}
	}
	line("TTFT", r.TTFT, "")
	line("ITL", r.ITL, "")
	line("TPOT", r.TPOT, "")
	line("E2E", r.E2E, "")
	if r.Loop == "open" {
		line("sent late", r.Late, "")
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if g := r.Goodput; g != nil {
		fmt.Fprintf(&b, "\ngoodput: %.1f%% of the requests, %.2f requests/s, within%s\n", 100*g.Share, g.PerSecond, g.bounds())
	}
	if len(r.Models) > 1 || len(r.Models) == 1 && len(r.Models[0].Answered) > 1 {
		if err := r.writeModels(&b); err != nil {
			return err
		}
	}
	for _, f := range r.Errors {
		fmt.Fprintf(&b, "\n%d x %s: %s", f.Count, f.Kind, strings.Join(strings.Fields(f.Example), " "))
	}
	if len(r.Errors) > 0 {
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) guess() string {
	if r.Estimated {
		return ", some of them counted as pieces: the server gave no usage"
	}
	return ""
}

func (g *Goodput) bounds() string {
	s := ""
	if g.TTFTBound > 0 {
		s += fmt.Sprintf(" TTFT %.0f ms", g.TTFTBound)
	}
	if g.ITLBound > 0 {
		s += fmt.Sprintf(" ITL %.0f ms", g.ITLBound)
	}
	return s
}

func (r *Report) writeModels(b *strings.Builder) error {
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "\nmodel\trequests\tfailed\ttokens\tTTFT p50\tp99\tITL p50\tp99\tanswered by\n")
	for _, m := range r.Models {
		var by []string
		for _, a := range m.Answered {
			version := strings.TrimPrefix(a.Adapter, "sha256:")
			by = append(by, fmt.Sprintf("%s (%d)", strings.TrimSpace(a.Name+" "+version[:min(12, len(version))]), a.Count))
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%s\n",
			m.Model, m.Requests, m.Failed, m.Completion, m.TTFT.P50, m.TTFT.P99, m.ITL.P50, m.ITL.P99, strings.Join(by, ", "))
	}
	return t.Flush()
}
