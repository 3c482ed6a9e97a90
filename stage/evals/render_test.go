package evals

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"dlm"
)

// TestKeepPage writes the page of a whole evaluation where DLM_REPORT_DIR says,
// for a person to look at.
func TestKeepPage(t *testing.T) {
	dir := os.Getenv("DLM_REPORT_DIR")
	if dir == "" {
		t.Skip("set DLM_REPORT_DIR to a folder to look at the page")
	}
	gen, job := claimsJob(t, 0)
	rep, err := Run(context.Background(), gen, job)
	if err != nil {
		t.Fatal(err)
	}
	v := dlm.Verdict{Outcome: dlm.Pass, Metric: "record", Candidate: "claims-r16", Baseline: "few-shot-4", N: 200, Margin: 0.02,
		Difference: 0.163, Low: 0.08, High: 0.245, Level: 0.95, Method: "cluster tango", McNemarP: 0.0001, Reason: "claims-r16 has record 67.0%, few-shot-4 has 50.7%"}
	var b, j bytes.Buffer
	if err := WriteHTML(&b, rep, HTMLOptions{Title: "claims-desk", Verdict: &v, Lineage: []Lineage{{"run", "r-0007", "r-0007"}}}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "report.html"), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	_ = WriteJSON(&j, rep)
	if err := os.WriteFile(filepath.Join(dir, "report.json"), j.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	_ = WriteTable(os.Stdout, rep, TableOptions{})
	_ = WriteTable(os.Stdout, rep, TableOptions{Color: true, Width: 100})
}
