package evals

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dlm"
)

// fakeGenerator answers from a function of the adapter folder and the prompt.
type fakeGenerator struct {
	answer func(adapter string, msgs []dlm.Message) (string, error)
	calls  atomic.Int64
	delay  time.Duration
}

func (g *fakeGenerator) Generate(ctx context.Context, reqs []dlm.GenerateRequest, _ func(int, dlm.Token)) ([]dlm.Completion, error) {
	g.calls.Add(1)
	out := make([]dlm.Completion, len(reqs))
	for i, r := range reqs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		text, err := g.answer(r.Adapter, r.Messages)
		if err != nil {
			return nil, err
		}
		time.Sleep(g.delay)
		out[i] = dlm.Completion{Text: text, Finish: "stop", Tokens: make([]dlm.Token, len(strings.Fields(text)))}
	}
	return out, nil
}

// chance gives a number in [0, 1) for a text: the same on every run.
func chance(parts ...string) float64 {
	h := fnv.New64a()
	for _, p := range parts {
		_, _ = h.Write([]byte(p + "\x00"))
	}
	return float64(h.Sum64()>>11) / (1 << 53)
}

// rowsOf reads training rows in the messages shape.
func rowsOf(t testing.TB, path string) []dlm.Row {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var rows []dlm.Row
	for i, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		var r struct {
			ID       string        `json:"id"`
			Messages []dlm.Message `json:"messages"`
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%s:%d: %v", path, i+1, err)
		}
		rows = append(rows, dlm.Row{ID: r.ID, Messages: r.Messages, File: path, Line: i + 1})
	}
	return rows
}

// project returns a file of a project's data.
func project(name, file string) string {
	return filepath.Join("..", "..", "projects", name, "data", file)
}

// claimsJob is an evaluation of the claims desk's golden set by a fake base that
// answers in prose and a fake adapter that gets about two thirds right.
func claimsJob(t testing.TB, n int) (*fakeGenerator, Job) {
	t.Helper()
	items, err := ReadGolden(project("claims-desk", "golden.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if n > 0 && n < len(items) {
		items = items[:n]
	}
	ix, err := NewIndex(rowsOf(t, project("claims-desk", "train.jsonl")))
	if err != nil {
		t.Fatal(err)
	}
	target := map[string]string{}
	for _, it := range items {
		target[it.Messages[len(it.Messages)-1].Content] = it.Target
	}
	gen := &fakeGenerator{answer: func(adapter string, msgs []dlm.Message) (string, error) {
		asked := msgs[len(msgs)-1].Content
		c := chance(adapter, asked)
		switch {
		case adapter == "" && len(msgs) <= 2:
			return "Sure! I'd be happy to help you with \"" + asked + "\" <b>today</b>.", nil
		case adapter == "":
			if c < 0.5 {
				return msgs[len(msgs)-2].Content, nil
			}
			return target[asked], nil
		case c < 0.68:
			return target[asked], nil
		case c < 0.8:
			return strings.Replace(target[asked], `"intent": "`, `"intent": "re`, 1), nil
		}
		return strings.Replace(target[asked], "}", fmt.Sprintf(`, "extra": "%s"}`, strings.Fields(asked)[0]), 1), nil
	}}
	scorers, err := NewAll([]ScorerSpec{{Name: "json", Fields: []string{"intent"}}})
	if err != nil {
		t.Fatal(err)
	}
	arms := []Arm{}
	for _, name := range []string{"zero-shot", "few-shot-4", "nearest-copy", "linear"} {
		spec, err := ParseArm(name)
		if err != nil {
			t.Fatal(err)
		}
		arm, err := NewArm(spec, ix)
		if err != nil {
			t.Fatal(err)
		}
		arms = append(arms, arm)
	}
	id := func(c string) dlm.Digest { return dlm.Digest("sha256:" + strings.Repeat(c, 64)) }
	arms = append(arms, AdapterArm("claims-r16", id("a"), "/adapters/claims-r16"))
	return gen, Job{Golden: id("1"), Base: id("2"), Data: id("3"), Items: items, Arms: arms, Scorers: scorers, Primary: "record"}
}
