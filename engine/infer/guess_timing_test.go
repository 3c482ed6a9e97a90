package infer

import (
	"fmt"
	"testing"
	"time"

	"dlm/engine/kernel"
)

// BenchmarkVerify times steps of decoding in which every sequence has so many
// guesses, all of them right, on the real model: what a row more costs.
func BenchmarkVerify(b *testing.B) {
	m := load(b, realModel(b), kernel.BF16, 0)
	for _, batch := range []int{1, 2, 4, 8} {
		for _, guesses := range []int{0, 1, 2, 3, 5, 7, 11, 15} {
			if batch*(1+guesses) > 32 {
				continue
			}
			b.Run(fmt.Sprintf("batch=%d/guesses=%d", batch, guesses), func(b *testing.B) {
				e := engine(b, m, Options{})
				e.cheap = 1 << 20
				e.logits, e.picks = make([]float32, 64*m.Config().Vocab), make([]pick, 64)
				best, steps := time.Hour, 0
				for range b.N {
					for i := range batch {
						r := Request{IDs: randomIDs(uint64(i), 32, m.Config().Vocab), MaxTokens: 300, Draft: guesses,
							Grammar: &forced{randomIDs(uint64(i+100), 400, m.Config().Vocab), 0}}
						if _, err := e.Add(r, nil); err != nil {
							b.Fatal(err)
						}
					}
					for len(e.running) == 0 || e.running[batch-1].done < 40 {
						step(b, e)
					}
					for !e.Idle() {
						begun := time.Now()
						step(b, e)
						if e.last.Decoding == batch && e.last.Guessed == batch*guesses {
							best = min(best, time.Since(begun))
							steps++
						}
					}
				}
				b.ReportMetric(float64(best.Nanoseconds())/1e3, "best-us/step")
				b.ReportMetric(float64(best.Nanoseconds())/1e3/float64(batch*(1+guesses)), "best-us/row")
			})
		}
	}
}

// forced is a grammar of one text.
type forced struct {
	ids []int32
	at  int
}

func (f *forced) Mask(allowed []uint64) {
	clear(allowed)
	allowed[f.ids[f.at]/64] |= 1 << (f.ids[f.at] % 64)
}

func (f *forced) Advance(id int32) bool {
	if f.ids[f.at] != id {
		return false
	}
	f.at++
	return true
}

func (f *forced) Forced(dst []int32) []int32 {
	return append(dst, f.ids[f.at:min(len(f.ids), f.at+16)]...)
}
func (f *forced) Mark() int      { return f.at }
func (f *forced) Reset(mark int) { f.at = mark }
