package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWrite(t *testing.T) {
	r := results{Title: "a base & rows", Batch: 4, Made: map[string]string{"trl": "1.0"}, Largest: 2e-3, Mean: 1e-3,
		Steps: []step{{1, 2, 2.004, 1, 1}, {2, 1.5, 1.5, 1, 1}, {3, 1, 1.0001, 1, 1}}}
	dir := t.TempDir()
	if err := write(dir, r); err != nil {
		t.Fatal(err)
	}
	md, err := os.ReadFile(filepath.Join(dir, "trainers.md"))
	if err != nil || !strings.Contains(string(md), "largest relative difference of the loss 2.00e-03") || strings.Count(string(md), "\n| ") != 4 {
		t.Errorf("%s, %v", md, err)
	}
	f, err := os.Open(filepath.Join(dir, "trainers.svg"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	points := 0
	for d := xml.NewDecoder(f); ; {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal("the plot is not XML:", err)
		}
		if e, ok := tok.(xml.StartElement); ok && e.Name.Local == "circle" {
			points++
		}
	}
	if points != 3 {
		t.Errorf("%d points, expected 3", points)
	}
	if d := (step{Native: 2, TRL: 1}).difference(); d != 0.5 {
		t.Errorf("difference %v", d)
	}
}

func TestReadRows(t *testing.T) {
	rows, err := readRows("../../projects/bank-support/data/quick-train.jsonl", 7)
	if err != nil || len(rows) != 7 || len(rows[6].Messages) < 2 || rows[6].Line != 7 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	bad := filepath.Join(t.TempDir(), "rows.jsonl")
	if err := os.WriteFile(bad, []byte("{\"text\": \"x\"}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readRows(bad, 1); err == nil || !strings.Contains(err.Error(), "rows.jsonl:1") {
		t.Error(err)
	}
}
