package infer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dlm/engine/kernel"
	"dlm/engine/model"
)

// decodeLoads are the batches that decoding is timed on: sequences at once, and
// how many different adapters (rank 16, all linear layers) they use in turns.
var decodeLoads = []struct{ batch, adapters int }{{1, 0}, {1, 1}, {8, 0}, {8, 4}, {32, 0}, {32, 1}, {32, 32}}

// decodeTokens is the number of steps that a round of decoding times.
const decodeTokens = 64

// BenchmarkDecode times steps of greedy decoding on the real model, without the
// prefill: positions 32 to 96 of each sequence.
func BenchmarkDecode(b *testing.B) {
	m := load(b, realModel(b), kernel.BF16, 0)
	adapters := manyAdapters(m)
	for _, l := range decodeLoads {
		b.Run(fmt.Sprintf("batch=%d/adapters=%d", l.batch, l.adapters), func(b *testing.B) {
			e := engine(b, m, Options{})
			var spent time.Duration
			best := time.Hour
			for range b.N {
				took := decodeRound(b, e, m, l.batch, adapters[:l.adapters])
				spent += took
				best = min(best, took)
			}
			tokens := float64(l.batch * decodeTokens)
			b.ReportMetric(float64(b.N)*tokens/spent.Seconds(), "tokens/s")
			b.ReportMetric(tokens/best.Seconds(), "best-tokens/s")
			b.ReportMetric(best.Seconds()*1e6/decodeTokens, "best-us/step")
		})
	}
}

// BenchmarkRegions says where the steps of BenchmarkDecode spend their time: DLM_REGIONS
// is the batch (8), or batch/adapters.
func BenchmarkRegions(b *testing.B) {
	size, with, _ := strings.Cut(cmp.Or(os.Getenv("DLM_REGIONS"), "8"), "/")
	batch, err1 := strconv.Atoi(size)
	count, err2 := strconv.Atoi(cmp.Or(with, "0"))
	if err := errors.Join(err1, err2); err != nil {
		b.Fatal(err)
	}
	m := load(b, realModel(b), kernel.BF16, 0)
	e := engine(b, m, Options{})
	adapters := manyAdapters(m)[:count]
	decodeRound(b, e, m, batch, adapters)
	var best kernel.Watch
	took := time.Hour
	for range b.N {
		var w kernel.Watch
		if t := decodeRoundWatched(b, e, m, batch, adapters, &w); t < took {
			took, best = t, w
		}
	}
	perStep := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 / decodeTokens }
	calls, inside := 0, time.Duration(0)
	for _, name := range slices.Sorted(maps.Keys(best.Regions)) {
		r := best.Regions[name]
		calls, inside = calls+r.Calls, inside+r.Time
		fmt.Printf("%9.1f us %4d calls %7.2f us each  %s\n", perStep(r.Time), r.Calls/decodeTokens, float64(r.Time.Nanoseconds())/1e3/float64(r.Calls), name)
	}
	fmt.Printf("%9.1f us a step, %.1f of it in %d regions\n", perStep(took), perStep(inside), calls/decodeTokens)
}

// BenchmarkAdapters compares decoding with adapters and without, step by step in
// turns: on a machine with other work only neighbours can be compared.
func BenchmarkAdapters(b *testing.B) {
	m := load(b, realModel(b), kernel.BF16, 0)
	adapters := manyAdapters(m)
	for _, l := range decodeLoads {
		if l.adapters == 0 {
			continue
		}
		b.Run(fmt.Sprintf("batch=%d/adapters=%d", l.batch, l.adapters), func(b *testing.B) {
			engines := [2]*Engine{engine(b, m, Options{}), engine(b, m, Options{})}
			var shares, without, with []float64
			for range b.N {
				begin(b, engines[0], m, l.batch, nil)
				begin(b, engines[1], m, l.batch, adapters[:l.adapters])
				var took [2]time.Duration
				for range decodeTokens {
					for i, e := range engines {
						start := time.Now()
						step(b, e)
						took[i] += time.Since(start)
					}
				}
				for _, e := range engines {
					untilIdle(b, e)
				}
				shares = append(shares, 100*float64(took[0])/float64(took[1]))
				without = append(without, float64(took[0].Microseconds())/decodeTokens)
				with = append(with, float64(took[1].Microseconds())/decodeTokens)
			}
			for _, v := range [][]float64{shares, without, with} {
				slices.Sort(v)
			}
			b.ReportMetric(shares[len(shares)/2], "median-%-of-base")
			b.ReportMetric(shares[0], "least-%")
			b.ReportMetric(shares[len(shares)-1], "most-%")
			b.ReportMetric(without[len(without)/2], "base-us/step")
			b.ReportMetric(with[len(with)/2], "us/step")
		})
	}
}

func manyAdapters(m *model.Model) (as []model.Adapter) {
	for i := range 32 {
		as = append(as, adapter(m, 16, uint64(i)))
	}
	return as
}

// decodeRound decodes with the adapters in turns and returns the time of decodeTokens steps.
func decodeRound(b *testing.B, e *Engine, m *model.Model, batch int, adapters []model.Adapter) time.Duration {
	b.Helper()
	return decodeRoundWatched(b, e, m, batch, adapters, nil)
}

// decodeRoundWatched is decodeRound with w counting the steps' regions.
func decodeRoundWatched(b *testing.B, e *Engine, m *model.Model, batch int, adapters []model.Adapter, w *kernel.Watch) time.Duration {
	b.Helper()
	begin(b, e, m, batch, adapters)
	m.Exec().Watch(w)
	start := time.Now()
	for range decodeTokens {
		step(b, e)
	}
	took := time.Since(start)
	m.Exec().Watch(nil)
	untilIdle(b, e)
	return took
}

// begin adds sequences that use the adapters in turns, and computes their prompts
// and a first token.
func begin(b *testing.B, e *Engine, m *model.Model, batch int, adapters []model.Adapter) {
	b.Helper()
	for i := range batch {
		r := Request{IDs: randomIDs(uint64(i), 32, m.Config().Vocab), MaxTokens: decodeTokens + 2}
		if len(adapters) > 0 {
			r.Adapter = adapters[i%len(adapters)]
		}
		if _, err := e.Add(r, nil); err != nil {
			b.Fatal(err)
		}
	}
	for e.tenants.waiting > 0 || e.running[0].done < 33 {
		step(b, e)
	}
}

// untilIdle takes all sequences to their ends.
func untilIdle(tb testing.TB, e *Engine) {
	tb.Helper()
	for !e.Idle() {
		step(tb, e)
	}
}

func step(tb testing.TB, e *Engine) {
	tb.Helper()
	if err := e.Step(); err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkPrefill times scoring of whole prompts on the real model.
func BenchmarkPrefill(b *testing.B) {
	m := load(b, realModel(b), kernel.BF16, 0)
	e := engine(b, m, Options{})
	r := ScoreRequest{IDs: randomIDs(1, 513, m.Config().Vocab), From: 512}
	for range b.N {
		if _, err := e.Score(context.Background(), []ScoreRequest{r}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*512)/b.Elapsed().Seconds(), "tokens/s")
}

// BenchmarkPrefix times the first token after a prompt of 513 tokens on the real
// model: one that nobody has asked for, and one whose blocks are kept.
func BenchmarkPrefix(b *testing.B) {
	m := load(b, realModel(b), kernel.BF16, 0)
	e := engine(b, m, Options{})
	r := Request{IDs: randomIDs(1, 513, m.Config().Vocab), MaxTokens: 1}
	for _, kept := range []bool{false, true} {
		b.Run(fmt.Sprintf("kept=%v", kept), func(b *testing.B) {
			for b.Loop() {
				if !kept {
					e.Forget()
				}
				if _, err := e.Generate(context.Background(), []Request{r}, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
