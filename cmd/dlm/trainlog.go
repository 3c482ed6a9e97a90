package main

import (
	"fmt"
	"sort"
	"strings"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"dlm"
)

// trainLog shows training as it goes: lines on standard output, and a bar on a
// terminal.
type trainLog struct {
	a      *app
	job    dlm.TrainJob
	bars   *mpb.Progress
	bar    *mpb.Bar
	latest dlm.TrainEvent
	shown  int // step of the last line
}

func newTrainLog(a *app, job dlm.TrainJob) *trainLog {
	l := &trainLog{a: a, job: job}
	if a.progressTerminal() {
		l.bars = mpb.New(mpb.WithOutput(a.stderr))
	}
	return l
}

func (l *trainLog) event(e dlm.TrainEvent) {
	switch e.Kind {
	case "step":
		l.latest = e
		l.advance(e)
		if every := max(1, e.Steps/15); e.Step == 1 || e.Step%every == 0 || e.Step == e.Steps {
			l.line(e)
		}
	case "eval":
		best := ""
		if e.Best {
			best = "  best so far"
		}
		l.a.printf("step %4d/%d  held-out loss %.4f%s\n", e.Step, e.Steps, e.Loss, best)
	case "sample":
		l.sample(e)
	case "stop":
		l.a.printf("step %4d/%d  %s\n", e.Step, e.Steps, e.Text)
	case "note":
		l.a.notef("%s", e.Text)
	}
}

func (l *trainLog) line(e dlm.TrainEvent) {
	if l.shown == e.Step {
		return
	}
	l.shown = e.Step
	l.a.printf("step %4d/%d  loss %.4f%s  lr %.2e  |grad| %.2f  %.0f tokens/s  %s left\n",
		e.Step, e.Steps, e.Loss, l.preference(e), e.LR, e.GradNorm, e.TokPerSec, duration(e.Left.Seconds()))
}

// preference is what a preference method watches besides its loss.
func (l *trainLog) preference(e dlm.TrainEvent) string {
	switch l.job.Recipe.Method {
	case "dpo", "kto", "orpo":
		return fmt.Sprintf("  margin %.3f", e.Reward)
	case "grpo":
		return fmt.Sprintf("  reward %.3f", e.Reward)
	}
	return ""
}

// sample shows a held-out prompt's answer beside what it should be.
func (l *trainLog) sample(e dlm.TrainEvent) {
	msgs := l.job.Samples[e.Sample]
	l.a.printf("    %s\n      -> %s\n", oneLine(msgs[len(msgs)-1].Content, 90), oneLine(e.Text, 110))
}

func (l *trainLog) advance(e dlm.TrainEvent) {
	if l.bars == nil {
		return
	}
	if l.bar == nil {
		l.bar = l.bars.AddBar(int64(e.Steps), mpb.PrependDecorators(decor.Name("training ")),
			mpb.AppendDecorators(decor.CountersNoUnit("%d/%d"), decor.Name("  "), decor.AverageETA(decor.ET_STYLE_GO)), mpb.BarRemoveOnComplete())
	}
	l.bar.SetCurrent(int64(e.Step))
}

func (l *trainLog) close() {
	if l.bars != nil {
		if l.bar != nil {
			l.bar.Abort(true)
		}
		l.bars.Shutdown()
	}
}

// oneLine makes text fit a line.
func oneLine(s string, width int) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > width {
		return string(r[:width-1]) + "…"
	}
	return s
}

// printPlan shows what training will cost before it starts.
func (a *app) printPlan(p dlm.TrainPlan) {
	if p.Device != "" {
		a.printf("on %s%s\n", p.Device, ofBytes(p.DeviceBytes))
	} else {
		a.printf("kernels %s, %d threads\n", p.Kernels, p.Threads)
	}
	a.printf("%d examples, %d tokens in all, %d of them in the loss; %d steps, passes of up to %d tokens; %d parameters trained\n",
		p.Examples, p.Tokens, p.LossTokens, p.Steps, p.MicroTokens, p.Parameters)
	a.printf("%d tokens computed", p.Computed)
	if p.Shared > 0 {
		a.printf(", %d (%.0f%%) saved by shared prefixes", p.Shared, 100*float64(p.Shared)/float64(p.Computed+p.Shared))
	}
	if p.Recomputed > 0 {
		a.printf("; checkpointing: %d of %d layers computed again", p.Recomputed, p.Layers)
	}
	a.printf("\n")
	uses := make([]string, 0, len(p.Bytes))
	for use := range p.Bytes {
		uses = append(uses, use)
	}
	sort.Slice(uses, func(i, j int) bool { return p.Bytes[uses[i]] > p.Bytes[uses[j]] })
	parts := make([]string, len(uses))
	for i, use := range uses {
		parts[i] = use + " " + byteSize(p.Bytes[use])
	}
	a.printf("memory: peak %s (%s)\n", byteSize(p.PeakBytes), strings.Join(parts, ", "))
	if p.Seconds > 0 {
		a.printf("measured on this machine: %.0f tokens/s, %s a step, %s in all\n", p.TokensPerSec, duration(p.Seconds/float64(p.Steps)), duration(p.Seconds))
	}
	for _, w := range p.Warnings {
		a.printf("warning: %s\n", w)
	}
}

func ofBytes(n int64) string {
	if n <= 0 {
		return ""
	}
	return ", " + byteSize(n) + " of memory"
}

func (a *app) printTrained(r dlm.TrainResult, art dlm.Artifact) {
	a.printf("trained %d tokens in %s", r.Tokens, duration(r.Seconds))
	if r.Seconds > 0 {
		a.printf(" (%.0f tokens/s)", float64(r.Tokens)/r.Seconds)
	}
	a.printf(", last loss %.4f", r.Loss)
	if r.EvalLoss > 0 {
		a.printf(", held-out loss %.4f at step %d", r.EvalLoss, r.BestStep)
	}
	a.printf(", peak memory %s\n", byteSize(r.PeakBytes))
	a.printf("adapter %s (%s)\n", art.ID.Short(), art.Name)
}
