package main

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// Each curve asks for shapes that fit a context of the longest sequence.
func TestCurvesFitTheContext(t *testing.T) {
	for _, c := range curves(8192) {
		if first := c.xs[0].x; strings.Contains(c.axis, "tokens") && strings.Contains(c.name, "length") && first != 128 {
			t.Errorf("%s begins at %d", c.name, first)
		}
		for _, x := range c.xs {
			if len(c.args(x.x)) < 3 {
				t.Errorf("%s at %d asks for %v", c.name, x.x, c.args(x.x))
			}
		}
	}
	prefill := curves(8192)[0]
	if last := prefill.args(8192); last[2] != "8191" {
		t.Errorf("the longest prompt leaves no room for a token: %v", last)
	}
}

func TestMeasureAndWrite(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the stand-in for dlm is a shell script")
	}
	dir := t.TempDir()
	dlm := filepath.Join(dir, "dlm")
	script := "#!/bin/sh\ncase \"$*\" in *'--prompt 127 '*) echo broken; exit 1;; esac\n" +
		"for last; do :; done\necho '{\"tokens_per_second\": 1234.5, \"peak_rss_bytes\": 1073741824, \"threads\": 2}'\n"
	if err := os.WriteFile(dlm, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	m := measurer{dlm: dlm, base: "base.gguf", rounds: 2}
	all := curves(512)
	if _, err := m.curve(context.Background(), all[0], 2, false); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("a run that failed gave %v", err)
	}
	if _, err := m.curve(context.Background(), all[3], 1, false); err == nil {
		t.Error("a run on other threads than asked for was taken")
	}
	r := results{Title: "a machine & a base", Date: "2026-01-02"}
	for _, c := range all[1:] {
		points, err := m.curve(context.Background(), c, 2, false)
		if err != nil {
			t.Fatal(err)
		}
		r.Points = append(r.Points, points...)
	}
	r.Points = append(r.Points, point{Curve: decodeBatch, X: 8, Threads: 1, Rate: 600})
	if err := write(dir, r); err != nil {
		t.Fatal(err)
	}
	md, err := os.ReadFile(filepath.Join(dir, "curves.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| decode over batch: sequences at once | 1 | 2 | 4 | 8 | 16 | 32 | 64 |",
		"| tokens/s, 1 thread |  |  |  | 600 |  |  |  |", "| peak memory, GiB | 1.00 |",
	} {
		if !strings.Contains(string(md), want) {
			t.Errorf("the table lacks %q:\n%s", want, md)
		}
	}
	f, err := os.Open(filepath.Join(dir, "curves.svg"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := xml.NewDecoder(f)
	circles := 0
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal("the plot is not XML:", err)
		}
		if e, ok := tok.(xml.StartElement); ok && e.Name.Local == "circle" {
			circles++
		}
	}
	if circles != len(r.Points) {
		t.Errorf("the plot has %d points, want %d", circles, len(r.Points))
	}
}

func TestLogTicks(t *testing.T) {
	for _, c := range []struct {
		low, high float64
		want      []float64
	}{{300, 1600, []float64{200, 500, 1000, 2000}}, {1000, 1000, []float64{500, 1000, 2000}}, {1, 9, []float64{0.5, 1, 2, 5, 10, 20}}} {
		if got := logTicks(c.low, c.high); !slices.Equal(got, c.want) {
			t.Errorf("logTicks(%v, %v) = %v, want %v", c.low, c.high, got, c.want)
		}
	}
	if got := thousands(1234567); got != "1,234,567" {
		t.Errorf("got %s", got)
	}
}
