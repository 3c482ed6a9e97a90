package main

import (
	"fmt"
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"dlm"
)

// progressTerminal says whether standard error can show bars.
func (a *app) progressTerminal() bool {
	f, ok := a.stderr.(*os.File)
	return ok && !a.flags.JSON && term.IsTerminal(int(f.Fd()))
}

// pullProgress shows bytes as they come: a bar on a terminal, a line for each
// tenth elsewhere.
func (a *app) pullProgress() dlm.PullProgress {
	if !a.progressTerminal() {
		return a.pullLines()
	}
	p := mpb.New(mpb.WithOutput(a.stderr), mpb.WithRefreshRate(100*time.Millisecond))
	bars := map[string]*mpb.Bar{}
	a.onClose(func() error { p.Shutdown(); return nil })
	return func(file string, done, total int64) {
		b := bars[file]
		if b == nil {
			b = p.AddBar(total, mpb.PrependDecorators(decor.Name(file+" ")),
				mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f"), decor.Name("  "), decor.AverageETA(decor.ET_STYLE_GO)))
			bars[file] = b
		}
		b.SetCurrent(done)
		if total > 0 && done >= total {
			b.SetTotal(total, true)
		}
	}
}

func (a *app) pullLines() dlm.PullProgress {
	last := map[string]int64{}
	return func(file string, done, total int64) {
		if total <= 0 {
			return
		}
		if tenth := done * 10 / total; tenth > last[file] {
			last[file] = tenth
			a.notef("%s: %s of %s", file, byteSize(done), byteSize(total))
		}
	}
}

// byteSize writes bytes for people.
func byteSize(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.0f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

// duration writes seconds for people.
func duration(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d > 0 && d < 100*time.Millisecond:
		return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min %02.0f s", float64(int(d.Minutes())), float64(int(d.Seconds())%60))
	}
	return fmt.Sprintf("%.1f h", d.Hours())
}
