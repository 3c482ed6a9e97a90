package testkit

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dlm"
)

// patience is how long something may take that waits for nobody.
const patience = 60 * time.Second

// each prompt as a call of its own; half of them are drawn.
func calls() (reqs []dlm.GenerateRequest) {
	for i, p := range prompts {
		s := dlm.Sampling{MaxTokens: 6 + 2*i}
		if i%2 == 1 {
			s.Temperature, s.Seed = 0.8, uint64(i)
		}
		reqs = append(reqs, ask(p, s))
	}
	return reqs
}

// same checks that an answer is the one that was given to the request alone.
func (o GeneratorOptions) same(t *testing.T, r dlm.GenerateRequest, alone, now dlm.Completion) {
	t.Helper()
	n := 0
	for n < min(len(alone.Tokens), len(now.Tokens)) && alone.Tokens[n].ID == now.Tokens[n].ID && alone.Tokens[n].Text == now.Tokens[n].Text {
		n++
	}
	if !o.parted(alone.Tokens, now.Tokens, n, r.Sampling) && (alone.Text != now.Text || alone.Finish != now.Finish) {
		t.Errorf("%+v: alone %q (%s), beside others %q (%s)", r, alone.Text, alone.Finish, now.Text, now.Finish)
	}
}

func generateConcurrent(t *testing.T, g dlm.Generator, o GeneratorOptions) {
	reqs := calls()
	alone := make([]dlm.Completion, len(reqs))
	for i, r := range reqs {
		alone[i] = generate(t, g, r)[0]
	}
	var wg sync.WaitGroup
	for range 2 {
		for i, r := range reqs {
			wg.Go(func() {
				out, err := g.Generate(context.Background(), []dlm.GenerateRequest{r, reqs[0]}, nil)
				if err != nil {
					t.Errorf("call %d: %v", i, err)
					return
				}
				o.same(t, r, alone[i], out[0])
				o.same(t, reqs[0], alone[0], out[1])
			})
		}
	}
	wg.Wait()
}

// generateCancelOne ends some calls in the midst of their answers; those beside
// them answer as if nothing had been.
func generateCancelOne(t *testing.T, g dlm.Generator, o GeneratorOptions) {
	reqs := calls()
	alone := make([]dlm.Completion, len(reqs))
	for i, r := range reqs {
		alone[i] = generate(t, g, r)[0]
	}
	var wg sync.WaitGroup
	for i, r := range reqs {
		wg.Go(func() {
			out, err := g.Generate(context.Background(), []dlm.GenerateRequest{r}, nil)
			if err != nil {
				t.Errorf("call %d, beside one that was cancelled: %v", i, err)
				return
			}
			o.same(t, r, alone[i], out[0])
		})
		wg.Go(func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			seen := 0
			_, err := g.Generate(ctx, []dlm.GenerateRequest{ask(prompts[i], dlm.Sampling{MaxTokens: 200, Temperature: 1.2, Seed: 9})}, func(int, dlm.Token) {
				if seen++; seen == 2 {
					cancel()
				}
			})
			if seen >= 2 && !errors.Is(err, context.Canceled) && err != nil {
				t.Errorf("cancelled after two tokens: %v", err)
			}
		})
	}
	wg.Wait()
}

func generateSlowReader(t *testing.T, g dlm.Generator, _ GeneratorOptions) {
	release, stuck, over := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var once sync.Once
	go func() {
		_, err := g.Generate(context.Background(), []dlm.GenerateRequest{ask(prompts[0], dlm.Sampling{MaxTokens: 8})}, func(int, dlm.Token) {
			once.Do(func() { close(stuck) })
			<-release
		})
		over <- err
	}()
	select {
	case <-stuck:
	case err := <-over:
		close(release)
		t.Fatalf("the call ended before it emitted anything: %v", err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := g.Generate(context.Background(), []dlm.GenerateRequest{ask(prompts[1], dlm.Sampling{MaxTokens: 8})}, func(int, dlm.Token) {})
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("a call waits for the reader of another")
	}
	close(release)
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// generateEmitContract: one goroutine at a time, in each request's order, and
// never after the call's return, were it cancelled or not.
func generateEmitContract(t *testing.T, g dlm.Generator, _ GeneratorOptions) {
	for _, cut := range []bool{false, true} {
		ctx, cancel := context.WithCancel(context.Background())
		var inside, seen atomic.Int32
		var returned atomic.Bool
		got := make([][]dlm.Token, len(prompts))
		out, err := g.Generate(ctx, calls(), func(i int, tok dlm.Token) {
			if inside.Add(1) > 1 {
				t.Error("emit is called while it runs")
			}
			if returned.Load() {
				t.Error("emit is called after Generate has returned")
			}
			got[i] = append(got[i], tok)
			if seen.Add(1) == 4 && cut {
				cancel()
			}
			time.Sleep(time.Millisecond)
			inside.Add(-1)
		})
		returned.Store(true)
		cancel()
		if cut {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
			time.Sleep(20 * time.Millisecond) // for what might still come
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range out {
			if !slices.EqualFunc(got[i], c.Tokens, func(a, b dlm.Token) bool { return a.ID == b.ID && a.Text == b.Text }) {
				t.Errorf("request %d: emitted %v, returned %v", i, got[i], c.Tokens)
			}
		}
	}
}
