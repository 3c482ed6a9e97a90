package testkit

import (
	"context"
	"errors"
	"math"
	"testing"

	"dlm"
)

// Scorer is the conformance suite of dlm.Scorer.
func Scorer(t *testing.T, s dlm.Scorer, o GeneratorOptions) {
	for _, c := range []struct {
		name string
		test func(*testing.T, dlm.Scorer, GeneratorOptions)
	}{
		{"log-probabilities and their sum", scoreSums},
		{"several at once score as each alone", scoreAlone},
		{"the end of the turn is one token more", scoreEndOfTurn},
		{"cancelling", scoreCancel},
		{"refusals name the request", scoreRefuses},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, s, o) })
	}
}

func scoreRequests(o GeneratorOptions) (reqs []dlm.ScoreRequest) {
	for i, p := range prompts {
		for _, a := range append([]string{""}, o.Adapters...) {
			reqs = append(reqs, dlm.ScoreRequest{
				Messages: []dlm.Message{{Role: "user", Content: p}}, Completion: prompts[len(prompts)-1-i] + " Right.", Adapter: a,
			})
		}
	}
	return append(reqs, dlm.ScoreRequest{Raw: "Once upon", Completion: " a time"})
}

func score(t *testing.T, s dlm.Scorer, reqs ...dlm.ScoreRequest) []dlm.Scored {
	t.Helper()
	out, err := s.Score(context.Background(), reqs)
	if err != nil {
		t.Fatal(err)
	}
	if len(out) != len(reqs) {
		t.Fatalf("%d results for %d requests", len(out), len(reqs))
	}
	return out
}

func scoreSums(t *testing.T, s dlm.Scorer, o GeneratorOptions) {
	reqs := scoreRequests(o)
	for i, r := range score(t, s, reqs...) {
		sum, text := 0.0, ""
		for _, tok := range r.Tokens {
			if tok.LogProb > 0 || math.IsNaN(tok.LogProb) {
				t.Errorf("request %d: token %q has log-probability %v", i, tok.Text, tok.LogProb)
			}
			sum += tok.LogProb
			text += tok.Text
		}
		if math.Abs(sum-r.Sum) > 1e-9*math.Abs(sum) || len(r.Tokens) == 0 {
			t.Errorf("request %d: %d tokens sum to %v, Sum is %v", i, len(r.Tokens), sum, r.Sum)
		}
		if text != reqs[i].Completion {
			t.Errorf("request %d: the tokens spell %q, the completion is %q", i, text, reqs[i].Completion)
		}
	}
}

func scoreAlone(t *testing.T, s dlm.Scorer, o GeneratorOptions) {
	reqs := scoreRequests(o)
	together := score(t, s, reqs...)
	for i, r := range reqs {
		alone := score(t, s, r)[0]
		for j := range alone.Tokens {
			if o.far(alone.Tokens[j].LogProb, together[i].Tokens[j].LogProb) {
				t.Errorf("request %d, token %d: alone %v, with others %v", i, j, alone.Tokens[j].LogProb, together[i].Tokens[j].LogProb)
			}
		}
	}
}

func scoreEndOfTurn(t *testing.T, s dlm.Scorer, o GeneratorOptions) {
	for i, r := range scoreRequests(o) {
		without := score(t, s, r)[0]
		r.EndOfTurn = true
		with := score(t, s, r)[0]
		if len(with.Tokens) != len(without.Tokens)+1 {
			t.Fatalf("request %d: %d tokens with the end of the turn, %d without", i, len(with.Tokens), len(without.Tokens))
		}
		for j := range without.Tokens {
			if with.Tokens[j].ID != without.Tokens[j].ID || o.far(with.Tokens[j].LogProb, without.Tokens[j].LogProb) {
				t.Errorf("request %d, token %d: %+v with the end of the turn, %+v without", i, j, with.Tokens[j], without.Tokens[j])
			}
		}
	}
}

func scoreCancel(t *testing.T, s dlm.Scorer, o GeneratorOptions) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Score(ctx, scoreRequests(o)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: error %v", err)
	}
}

func scoreRefuses(t *testing.T, s dlm.Scorer, o GeneratorOptions) {
	reqs := scoreRequests(o)[:1]
	_, err := s.Score(context.Background(), append(reqs, dlm.ScoreRequest{Completion: "x"}))
	refused(t, err, "request 2")
}

// GeneratorScorer checks that what was generated scores as it was generated: as
// far as the text is tokenized as it came, token by token.
func GeneratorScorer(t *testing.T, g dlm.Generator, s dlm.Scorer, o GeneratorOptions) {
	promptScores(t, g, s, o)
	checked := 0
	for _, p := range prompts {
		for _, a := range append([]string{""}, o.Adapters...) {
			r := ask(p, dlm.Sampling{MaxTokens: 16})
			r.Adapter = a
			c := generate(t, g, r)[0]
			if c.Text == "" {
				continue
			}
			scored := score(t, s, dlm.ScoreRequest{Messages: r.Messages, Completion: c.Text, EndOfTurn: c.Finish == "stop", Adapter: a})[0]
			for j := 0; j < min(len(c.Tokens), len(scored.Tokens)) && c.Tokens[j].ID == scored.Tokens[j].ID; j++ {
				checked++
				if o.far(c.Tokens[j].LogProb, scored.Tokens[j].LogProb) {
					t.Errorf("%q, adapter %q, token %d: generated with %v, scored %v", p, a, j, c.Tokens[j].LogProb, scored.Tokens[j].LogProb)
				}
			}
		}
	}
	if checked == 0 {
		t.Skip("no generated text is tokenized as it was generated")
	}
}
