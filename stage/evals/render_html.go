package evals

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"strconv"

	"dlm"
)

//go:embed report/page.html report/style.css report/script.js
var reportFiles embed.FS

// HTMLOptions say what a report's page shows beside the report.
type HTMLOptions struct {
	Title     string       // heading, for example the project's name
	Candidate string       // arm to look at closely; empty = the best adapter
	Baseline  string       // arm to hold it against; empty = the best arm without an adapter
	Verdict   *dlm.Verdict // of the gate on these two, if there is one
	Lineage   []Lineage    // further artifacts to name: run, training data, recipe
}

// Lineage names one artifact behind the report.
type Lineage struct {
	Role string // "base", "golden", "data", "adapter", "report", ...
	Name string // for people; may be empty
	ID   string
}

// page is parsed once; the files are part of the binary.
var page = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"percent": func(v float64) string { return fmt.Sprintf("%.1f", 100*v) },
	"points":  func(v float64) string { return fmt.Sprintf("%+.1f", 100*v) },
	"level":   func(v float64) string { return strconv.FormatFloat(100*v, 'f', -1, 64) + "%" },
	"label":   metricLabel,
	"style": func() (template.CSS, error) {
		b, err := reportFiles.ReadFile("report/style.css")
		return template.CSS(b), err
	},
	"script": func() (template.JS, error) {
		b, err := reportFiles.ReadFile("report/script.js")
		return template.JS(b), err
	},
}).ParseFS(reportFiles, "report/page.html"))

// WriteHTML writes the report as one page that needs no other file and no
// network: style and drawings stand in it, and a small script that filters the
// samples, without which the page still shows everything. All text of samples
// is escaped.
func WriteHTML(w io.Writer, r dlm.Report, o HTMLOptions) error {
	v, err := newView(r, o)
	if err != nil {
		return err
	}
	return page.Execute(w, v)
}
