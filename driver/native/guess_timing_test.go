package native

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"dlm"
)

// passages are texts to extract from and to sum up.
var passages = []string{
	"Policy 48-3391 was issued to Margarethe Oelsner of Bremen on 14 March 2019 and covers the house at Lindenallee 7 against fire, storm and water up to 350,000 euros. The yearly premium is 412.80 euros. On 2 November 2023 a pipe in the kitchen burst and the floor of two rooms had to be replaced; the insured claims 8,640 euros.",
	"The ferry Nordlys left Bergen at 21:40 with 312 passengers and 88 cars on board. Captain Ingrid Solheim reported at 23:05 that the port engine had lost oil pressure. The ferry went on at nine knots and reached Stavanger at 06:15, two hours and twenty minutes late. No passenger was hurt.",
	"Order 7710 of Fabrikam Tools consists of 24 torque wrenches of type TW-60, 6 boxes of hexagon bits and one calibration certificate. It was paid on 3 May and shipped on 5 May by Kontoso Freight under number KF-20931. The customer, Jonas Lindqvist, says that two wrenches are missing.",
	"The clinic in Aarau treated 1,204 patients in the first quarter, 87 more than in the year before. Waiting times fell from 23 to 17 days. Doctor Selma Aydin puts this down to the evening hours that were introduced in January. Four posts for nurses are still vacant.",
}

// guessLoads are what guesses are timed on.
var guessLoads = map[string]func(passage string) dlm.GenerateRequest{
	"schema": func(p string) dlm.GenerateRequest {
		return dlm.GenerateRequest{Messages: []dlm.Message{{Role: "user", Content: p + "\n\nGive the facts of this text as JSON."}}, Format: &dlm.Format{Schema: []byte(
			`{"type":"object","properties":{"subject_of_the_report":{"type":"string","maxLength":60},"date_of_the_event":{"type":"string","maxLength":30},"person_responsible":{"type":"string","maxLength":40},"amount_or_number":{"type":"number"},"is_a_complaint":{"type":"boolean"},"kind_of_document":{"enum":["insurance policy","incident report","customer order","annual statistics"]}},"required":["subject_of_the_report","date_of_the_event","person_responsible","amount_or_number","is_a_complaint","kind_of_document"],"additionalProperties":false}`)}}
	},
	"sampled schema": func(p string) dlm.GenerateRequest {
		return dlm.GenerateRequest{
			Messages: []dlm.Message{{Role: "user", Content: p + "\n\nGive the facts of this text as JSON."}}, Sampling: dlm.Sampling{Temperature: 0.5, Seed: 1},
			Format: &dlm.Format{Schema: []byte(`{"type":"object","properties":{"subject":{"type":"string","maxLength":60},"date":{"type":"string"},"amount":{"type":"number"}},"required":["subject","date","amount"],"additionalProperties":false}`)},
		}
	},
	"extraction": func(p string) dlm.GenerateRequest {
		return dlm.GenerateRequest{Messages: []dlm.Message{{Role: "user", Content: p + "\n\nCopy every sentence of this text that holds a number, word by word."}}}
	},
	"summary": func(p string) dlm.GenerateRequest {
		return dlm.GenerateRequest{Messages: []dlm.Message{{Role: "user", Content: p + "\n\nSum this text up in two sentences."}}}
	},
	"story": func(p string) dlm.GenerateRequest {
		return dlm.GenerateRequest{Messages: []dlm.Message{{Role: "user", Content: "Tell a story about a " + strings.Fields(p)[1] + " and a lighthouse."}}, Sampling: dlm.Sampling{Temperature: 0.8, Seed: 1}}
	},
}

// BenchmarkGuesses times whole completions with guesses and without, in turns, on
// the real model: text held to a schema, text that copies from its prompt, and
// text that does neither. DLM_GUESSES names one of the loads.
func BenchmarkGuesses(b *testing.B) {
	path := os.Getenv("DLM_TEST_MODEL")
	if path == "" {
		b.Skip("name the real model in DLM_TEST_MODEL")
	}
	n, err := Open(path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close()
	for name, load := range guessLoads {
		if only := os.Getenv("DLM_GUESSES"); only != "" && only != name {
			continue
		}
		for _, batch := range []int{1, 4, 8} {
			b.Run(fmt.Sprintf("%s/batch=%d", name, batch), func(b *testing.B) {
				var reqs []dlm.GenerateRequest
				for i := range batch {
					r := load(passages[i%len(passages)])
					r.Sampling.MaxTokens = 120
					r.Sampling.Sequence = uint64(i / len(passages))
					reqs = append(reqs, r)
				}
				took := [2]time.Duration{time.Hour, time.Hour} // the best
				var tokens int
				before := n.Stats()
				for range b.N + 1 {
					var text [2]string
					for side, draft := range [2]int{0, 7} {
						n.o.Draft = draft
						begun := time.Now()
						out, err := n.Generate(context.Background(), reqs, nil)
						if err != nil {
							b.Fatal(err)
						}
						took[side] = min(took[side], time.Since(begun))
						tokens = 0
						for _, c := range out {
							text[side] += c.Text
							tokens += len(c.Tokens)
						}
					}
					if text[0] != text[1] {
						b.Fatal("guesses changed an answer")
					}
				}
				s := n.Stats()
				b.ReportMetric(float64(tokens)/took[0].Seconds(), "tok/s-without")
				b.ReportMetric(float64(tokens)/took[1].Seconds(), "tok/s-with")
				b.ReportMetric(float64(s.Drafted-before.Drafted)/float64(b.N+1), "drafted")
				b.ReportMetric(float64(s.Accepted-before.Accepted)/float64(b.N+1), "accepted")
			})
		}
	}
}
