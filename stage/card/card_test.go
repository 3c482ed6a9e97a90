package card

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dlm"
)

var update = flag.Bool("update", false, "write the golden files anew")

func digest(c string) dlm.Digest { return dlm.Digest("sha256:" + strings.Repeat(c, 64)) }

// full is a card of which every part is known.
func full() Card {
	metric := func(name string, v, low, high float64) dlm.Metric {
		return dlm.Metric{Name: name, Value: v, Low: low, High: high, Level: 0.95, Method: "cluster wilson", N: 200}
	}
	weak := metric("record", 0.5, 0.3, 0.7)
	weak.N = 20
	return Card{
		Name: "desk", Repo: "acme/desk", ID: digest("a"), Created: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), Code: "v1.2", Seed: 7,
		Recipe: map[string]string{"method": "sft", "rank": "16", "lr": "0.002", "target_modules": `["q_proj","v_proj"]`, "early_stopping": ""},
		System: "File the message as one record.",
		Base: Base{Name: "smollm2-135m-instruct", Repo: "HuggingFaceTB/SmolLM2-135M-Instruct", Commit: "0123456789ab", File: "SmolLM2.Q4_1.gguf",
			Digest: digest("b"), Quantize: "nf4", Tokenizer: "sha256:t", Template: "sha256:c"},
		Data: []Data{
			{Role: "trained on", Name: "desk/train", Files: "train.jsonl", Digest: digest("d"), Rows: "1200", Licence: "Attribution 4.0 International", LicenceID: "cc-by-4.0",
				Attribution: "# Attribution\n\nThe rows come from **Somewhere**."},
			{Role: "held out", Name: "desk/held", Digest: digest("e"), Rows: "60", Attribution: "# Attribution\n\nThe rows come from **Somewhere**."},
		},
		Golden: &Data{Role: "golden set", Name: "records", Digest: digest("9"), Rows: "200"},
		Arm:    "desk",
		Report: &dlm.Report{Primary: "record", Items: 200, Engine: "vllm 1.2 bfloat16", Notes: []string{"2 golden prompts also stand in the training rows (secret-item, b)"}, Arms: []dlm.Arm{
			{Name: "zero-shot", Metrics: []dlm.Metric{metric("record", 0.1, 0.05, 0.2)}},
			{Name: "desk", Adapter: digest("a"), Metrics: []dlm.Metric{metric("record", 0.795, 0.72, 0.85), {Name: "slot_f1", Value: 0.9, Low: 0.88, High: 0.92, Level: 0.95, Method: "cluster bootstrap", N: 198, Unscored: 2}},
				Tags: []dlm.TagRow{{Tag: "rare|odd", Metric: weak}, {Tag: "plain", Metric: metric("record", 0.8, 0.7, 0.9)}}},
		}},
		Gate: &Gate{ID: digest("f"), Allowed: true, Verdict: dlm.Verdict{Outcome: dlm.Pass, Metric: "record", Candidate: "desk", Baseline: "few-shot-4", N: 200, Margin: 0.02,
			Difference: 0.35, Low: 0.272, High: 0.428, Level: 0.95, Method: "cluster tango", Reason: "even the lower end is no worse", Fixed: []string{"secret-item"}}},
		Author: Author{Licence: "apache-2.0", Languages: []string{"en"}, Datasets: []string{"acme/rows"}, Tags: []string{"insurance", "lora"},
			IntendedUse: "Filing of messages.", Limits: "English only."},
	}
}

func TestGoldenFiles(t *testing.T) {
	failed := full()
	failed.Gate.Outcome, failed.Gate.Allowed, failed.Gate.Reason = dlm.Fail, false, "a drop | of <40> points\nand `more`"
	failed.Author, failed.Base.Repo, failed.Base.Commit, failed.Base.Name = Author{}, "", "", "base: \"own\" #1"
	failed.Name = `x: | <y> "z"`
	for name, c := range map[string]Card{
		"full": full(), "failed": failed,
		"sparse": {Name: "theirs", Origin: "brought by its user", Base: Base{Name: "somewhere", Digest: digest("b")}},
		"made":   {Name: "new", ID: digest("a"), Recipe: map[string]string{"method": "sft"}, Base: Base{Repo: "a/b"}, Data: []Data{{Role: "trained on", Digest: digest("d")}}},
	} {
		path := filepath.Join("testdata", name+".md")
		got := c.Markdown()
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs (go test ./stage/card -update writes it anew):\n%s", path, got)
		}
		if !bytes.Equal(got, c.Markdown()) {
			t.Errorf("%s: two cards of one thing", name)
		}
	}
}

// What is published for machines says nothing of single items.
func TestLineageHoldsNoItems(t *testing.T) {
	c := full()
	c.Report.Arms[1].Samples = []dlm.Sample{{ItemID: "secret-item", Completion: "secret-answer"}}
	raw, err := json.Marshal(c.Lineage())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, []byte("secret")) || bytes.Contains(c.Markdown(), []byte("secret")) {
		t.Errorf("an item is published: %s", raw)
	}
	var back Lineage
	if err := json.Unmarshal(raw, &back); err != nil || back.ID != c.ID || back.Base != c.Base || len(back.Metrics) != 2 || back.Recipe["lr"] != "0.002" || back.Format != 1 {
		t.Errorf("read again: %+v, %v", back, err)
	}
	if len(c.Gate.Fixed) != 1 {
		t.Error("the card itself was changed")
	}
}

func TestLicence(t *testing.T) {
	for text, want := range map[string][2]string{
		"Attribution 4.0 International\n\n=====\n":                                                  {"Attribution 4.0 International", "cc-by-4.0"},
		"Attribution-ShareAlike 4.0 International\n":                                                {"Attribution-ShareAlike 4.0 International", "cc-by-sa-4.0"},
		"Community Data License Agreement – Permissive – Version 1.0\n":                             {"Community Data License Agreement – Permissive – Version 1.0", "cdla-permissive-1.0"},
		"\n                                 Apache License\n           Version 2.0, January 2004\n": {"Apache License", "apache-2.0"},
		"The MIT License (MIT)\nCopyright":                                                          {"The MIT License (MIT)", "mit"},
		"Our own terms; permit license":                                                             {"Our own terms; permit license", ""},
		"":                                                                                          {"", ""},
	} {
		if name, id := Licence(text); name != want[0] || id != want[1] {
			t.Errorf("%.40q: %q, %q", text, name, id)
		}
	}
}
