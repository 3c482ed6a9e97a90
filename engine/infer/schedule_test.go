package infer

import (
	"testing"

	"dlm/engine/kv"
	"pgregory.net/rapid"
)

// world is a scheduler's surroundings without a model: sequences of known
// lengths, a number of blocks.
type world struct {
	l                limits
	blocks           int // in all
	running, waiting []*item
	left             map[*item]int // tokens still to be generated
}

// step schedules once, checks the decision and plays it out. It returns the
// positions computed.
func (w *world) step(t interface{ Fatalf(string, ...any) }) int {
	held := 0
	for _, it := range w.running {
		held += it.blocks
	}
	w.l.free = w.blocks - held
	admit := schedule(w.running, w.waiting, w.l)
	var evicted []*item
	for n := len(w.running) - 1; n >= 0 && w.running[n].evict; n-- {
		evicted = append([]*item{w.running[n]}, evicted...)
		w.running = w.running[:n]
	}
	for _, it := range w.running {
		if it.evict {
			t.Fatalf("a sequence was evicted though a later one was not")
		}
	}
	w.running = append(w.running, w.waiting[:admit]...)
	w.waiting = append(evicted, w.waiting[admit:]...)
	rows, held := 0, 0
	for i, it := range w.running {
		rows += it.take
		held += it.blocks
		if it.take > it.need-it.done || it.take < 0 {
			t.Fatalf("sequence %d takes %d of %d positions", i, it.take, it.need-it.done)
		}
		if !it.whole && it.take > w.l.chunk {
			t.Fatalf("sequence %d takes %d positions, chunks are %d", i, it.take, w.l.chunk)
		}
		if it.whole && it.take != 0 && it.take != it.need {
			t.Fatalf("sequence %d is whole and takes %d of %d", i, it.take, it.need)
		}
		if !it.whole && it.blocks < kv.BlocksFor(it.done+it.take) {
			t.Fatalf("sequence %d holds %d blocks for %d positions", i, it.blocks, it.done+it.take)
		}
	}
	if rows > w.l.rows || held > w.blocks || len(w.running) > w.l.sequences {
		t.Fatalf("%d rows of %d, %d blocks of %d, %d sequences of %d", rows, w.l.rows, held, w.blocks, len(w.running), w.l.sequences)
	}
	keep := w.running[:0]
	for _, it := range w.running {
		it.done += it.take
		if it.done == it.need {
			if w.left[it] == 0 {
				continue
			}
			w.left[it]--
			it.need++
		}
		keep = append(keep, it)
	}
	w.running = keep
	return rows
}

// TestEverySequenceFinishes: whatever the mix, every step computes something,
// keeps to its limits, and in the end all sequences are done.
func TestEverySequenceFinishes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{left: map[*item]int{}}
		w.l.rows = rapid.IntRange(1, 200).Draw(t, "rows")
		w.l.chunk = rapid.IntRange(1, w.l.rows).Draw(t, "chunk")
		w.l.sequences = rapid.IntRange(1, min(8, w.l.rows)).Draw(t, "sequences")
		w.blocks = rapid.IntRange(1, 12).Draw(t, "blocks")
		coming := rapid.IntRange(1, 20).Draw(t, "requests")
		for steps := 0; coming+len(w.waiting)+len(w.running) > 0; steps++ {
			for ; coming > 0 && (len(w.waiting)+len(w.running) == 0 || rapid.Bool().Draw(t, "arrives")); coming-- {
				total := rapid.IntRange(1, w.blocks*kv.BlockSize).Draw(t, "length")
				it := &item{need: rapid.IntRange(1, total).Draw(t, "prompt")}
				if it.need <= w.l.rows && rapid.IntRange(0, 3).Draw(t, "whole") == 0 {
					it.whole = true
					total = it.need
				}
				w.left[it] = total - it.need
				w.waiting = append(w.waiting, it)
			}
			if w.step(t) == 0 {
				t.Fatalf("step %d computed nothing: %d run, %d wait", steps, len(w.running), len(w.waiting))
			}
			if steps > 200000 {
				t.Fatalf("not done after %d steps", steps)
			}
		}
	})
}

func TestDecodingGoesBeforePrefill(t *testing.T) {
	long, talker := &item{need: 500}, &item{need: 21, done: 20, blocks: 1}
	schedule([]*item{long, talker}, nil, limits{rows: 64, chunk: 64, sequences: 4, free: 20})
	if talker.take != 1 || long.take != 63 {
		t.Errorf("decoding takes %d rows and prefill %d, expected 1 and 63", talker.take, long.take)
	}
}

func TestLatestGivesWay(t *testing.T) {
	first, last := &item{need: 65, done: 64, blocks: 1}, &item{need: 40, done: 39, blocks: 1}
	admit := schedule([]*item{first, last}, []*item{{need: 1}}, limits{rows: 8, chunk: 8, sequences: 4, free: 0})
	if first.take != 1 || first.evict || !last.evict || last.done != 0 || admit != 0 {
		t.Errorf("first %+v, last %+v, %d admitted; expected the last to give its block to the first", *first, *last, admit)
	}
}

// TestPromptsThatBlockEachOther: two prompts under way hold all blocks between
// them; the later one starts over.
func TestPromptsThatBlockEachOther(t *testing.T) {
	a, b := &item{need: 256, done: 64, blocks: 1}, &item{need: 192, done: 128, blocks: 2}
	schedule([]*item{a, b}, nil, limits{rows: 64, chunk: 64, sequences: 4, free: 0})
	if a.take != 64 || a.evict || !b.evict {
		t.Errorf("first %+v, second %+v; expected the second to give its blocks to the first", *a, *b)
	}
}
