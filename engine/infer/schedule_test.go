package infer

import (
	"testing"

	"dlm/engine/kv"
	"pgregory.net/rapid"
)

// world is a scheduler's surroundings without a model: sequences of known
// lengths, a number of blocks that nobody shares.
type world struct {
	plan    plan
	l       limits
	running []*item
	lines   [][]*item     // of each tenant
	left    map[*item]int // tokens still to be generated
	came    uint64
	fcfs    bool // a scheduler that knows nothing of tenants, for comparison
}

func newWorld(tenants int, l limits) *world {
	w := &world{l: l, lines: make([][]*item, tenants), left: map[*item]int{}}
	w.plan.h = w
	return w
}

func (w *world) release(it *item) int             { return it.blocks - it.fresh }
func (w *world) look(*item, []*item)              {}
func (w *world) follows(it *item, _ []*item) bool { return false }
func (w *world) line(it *item) *[]*item           { return &w.lines[it.seq.tenant.running] }
func (w *world) add(tenant *tenant, it item) *item { // tenant.running is its line here
	it.seq, it.account, it.arrival, it.prompt = &Sequence{tenant: tenant}, &tenant.account, w.came, it.need
	if w.fcfs {
		it.account = &account{}
	}
	w.came++
	w.left[&it] = 0
	l := w.line(&it)
	*l = append(*l, &it)
	return &it
}

func (w *world) idle() bool { return len(w.left) == 0 }

// step schedules once, checks the decision and plays it out. It returns the
// positions computed.
func (w *world) step(t interface{ Fatalf(string, ...any) }) int {
	held := 0
	for _, it := range w.running {
		held += it.blocks
	}
	w.l.free = w.l.blocks - held
	if w.fcfs {
		for it := range w.left {
			it.account.served = 0
		}
	}
	w.plan.decide(w.running, w.lines, w.l)
	var next []*item
	for _, it := range w.running {
		if !it.evict {
			next = append(next, it)
			continue
		}
		if it.take > 0 || it.blocks > 0 || it.done > 0 {
			t.Fatalf("an evicted sequence takes %d positions and holds %d blocks", it.take, it.blocks)
		}
		l := w.line(it)
		at := 0
		for at < len(*l) && (*l)[at].arrival < it.arrival {
			at++
		}
		*l = append((*l)[:at:at], append([]*item{it}, (*l)[at:]...)...)
	}
	for _, it := range w.plan.admitted {
		l := w.line(it)
		if (*l)[0] != it {
			t.Fatalf("a sequence was admitted before the one in front of it")
		}
		*l = (*l)[1:]
		next = append(next, it)
	}
	w.running = next
	rows, prompts, decoding := w.check(t)
	if w.l.prefill > 0 && decoding && prompts > w.l.prefill {
		t.Fatalf("prompts take %d rows beside others that decode, the limit is %d", prompts, w.l.prefill)
	}
	keep := w.running[:0]
	for _, it := range w.running {
		it.done += it.take
		if it.done == it.need {
			if w.left[it] == 0 {
				delete(w.left, it)
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

// check holds the decision to the limits.
func (w *world) check(t interface{ Fatalf(string, ...any) }) (rows, prompts int, decoding bool) {
	held, guessed := 0, 0
	for i, it := range w.running {
		rows += it.take
		guessed += it.guessed
		held += it.blocks
		switch {
		case it.take > it.need-it.done || it.take < 0:
			t.Fatalf("sequence %d takes %d of %d positions", i, it.take, it.need-it.done)
		case !it.whole && it.take > w.l.chunk:
			t.Fatalf("sequence %d takes %d positions, chunks are %d", i, it.take, w.l.chunk)
		case it.whole && it.take != it.need:
			t.Fatalf("sequence %d is whole and takes %d of %d", i, it.take, it.need)
		case !it.whole && it.blocks < kv.BlocksFor(it.done+it.take+it.guessed):
			t.Fatalf("sequence %d holds %d blocks for %d positions and %d guesses", i, it.blocks, it.done+it.take, it.guessed)
		case it.guessed > it.guess || it.guessed > 0 && it.done+it.take != it.need:
			t.Fatalf("sequence %d gets rows for %d guesses of %d", i, it.guessed, it.guess)
		}
		if it.done > 0 && it.need-it.done == 1 {
			decoding = true
		} else if !it.whole || it.need <= w.l.prefill {
			prompts += it.take
		}
	}
	if rows+guessed > w.l.rows || held > w.l.blocks || len(w.running) > w.l.sequences {
		t.Fatalf("%d rows of %d, %d blocks of %d, %d sequences of %d", rows+guessed, w.l.rows, held, w.l.blocks, len(w.running), w.l.sequences)
	}
	return rows, prompts, decoding
}

// TestEverySequenceFinishes: whatever the mix, every step computes something,
// keeps to its limits, and in the end all sequences are done.
func TestEverySequenceFinishes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l limits
		l.rows = rapid.IntRange(1, 200).Draw(t, "rows")
		l.chunk = rapid.IntRange(1, l.rows).Draw(t, "chunk")
		l.prefill = rapid.IntRange(0, 50).Draw(t, "prefill")
		l.sequences = rapid.IntRange(1, min(8, l.rows)).Draw(t, "sequences")
		l.blocks = rapid.IntRange(1, 12).Draw(t, "blocks")
		var who []*tenant
		for i := range rapid.IntRange(1, 4).Draw(t, "tenants") {
			who = append(who, &tenant{running: i})
		}
		w := newWorld(len(who), l)
		coming := rapid.IntRange(1, 20).Draw(t, "requests")
		for steps := 0; coming > 0 || !w.idle(); steps++ {
			for ; coming > 0 && (w.idle() || rapid.Bool().Draw(t, "arrives")); coming-- {
				total := rapid.IntRange(1, l.blocks*kv.BlockSize).Draw(t, "length")
				it := item{need: rapid.IntRange(1, total).Draw(t, "prompt"), guess: rapid.IntRange(0, 5).Draw(t, "guess")}
				if it.need <= l.rows && rapid.IntRange(0, 3).Draw(t, "whole") == 0 {
					it.whole, it.guess = true, 0
					total = it.need
				}
				w.left[w.add(rapid.SampledFrom(who).Draw(t, "tenant"), it)] = total - it.need
			}
			if w.step(t) == 0 {
				t.Fatalf("step %d computed nothing: %d run, %d in all", steps, len(w.running), len(w.left))
			}
			if steps > 200000 {
				t.Fatalf("not done after %d steps", steps)
			}
		}
	})
}

// decided is one step of a world with those items under way.
func decided(l limits, running ...*item) *world {
	w := newWorld(1, l)
	who := &tenant{}
	for _, it := range running {
		it.seq, it.account, it.arrival = &Sequence{tenant: who}, &who.account, w.came
		w.came++
	}
	w.plan.decide(running, w.lines, l)
	return w
}

func TestDecodingGoesBeforePrefill(t *testing.T) {
	long, talker := &item{need: 500}, &item{need: 21, done: 20, blocks: 1}
	decided(limits{rows: 64, chunk: 64, sequences: 4, free: 20}, long, talker)
	if talker.take != 1 || long.take != 63 {
		t.Errorf("decoding takes %d rows and prefill %d, expected 1 and 63", talker.take, long.take)
	}
	decided(limits{rows: 64, chunk: 64, prefill: 16, sequences: 4, free: 20}, long, talker)
	if talker.take != 1 || long.take != 16 {
		t.Errorf("decoding takes %d rows and prefill %d of at most 16, expected 1 and 16", talker.take, long.take)
	}
	decided(limits{rows: 64, chunk: 64, prefill: 16, sequences: 4, free: 20}, long)
	if long.take != 64 {
		t.Errorf("prefill takes %d rows where nobody decodes, expected all 64", long.take)
	}
}

func TestGuessesTakeWhatIsLeft(t *testing.T) {
	long, talker := &item{need: 500}, &item{need: 21, done: 20, blocks: 1, guess: 8}
	decided(limits{rows: 64, chunk: 60, sequences: 4, free: 20}, long, talker)
	if talker.take != 1 || long.take != 60 || talker.guessed != 3 {
		t.Errorf("%d rows of a prompt, %d of a guess; expected 60 and 3", long.take, talker.guessed)
	}
	edge := &item{need: 62, done: 61, blocks: 1, guess: 8}
	decided(limits{rows: 64, chunk: 60, sequences: 4}, edge)
	if edge.guessed != 2 || edge.fresh != 0 {
		t.Errorf("%d rows of a guess in %d blocks; expected 2, to the end of its block", edge.guessed, edge.blocks)
	}
}

func TestLatestGivesWay(t *testing.T) {
	first, last := &item{need: 65, done: 64, blocks: 1}, &item{need: 40, done: 39, blocks: 1}
	w := newWorld(1, limits{rows: 8, chunk: 8, sequences: 4, blocks: 2})
	who := &tenant{}
	for i, it := range []*item{first, last} {
		it.seq, it.account, it.arrival = &Sequence{tenant: who}, &who.account, uint64(i)
	}
	w.add(who, item{need: 1})
	w.plan.decide([]*item{first, last}, w.lines, w.l)
	if first.take != 1 || first.evict || !last.evict || last.done != 0 || len(w.plan.admitted) != 0 {
		t.Errorf("first %+v, last %+v, %d admitted; expected the last to give its block to the first", *first, *last, len(w.plan.admitted))
	}
}

// TestPromptsThatBlockEachOther: two prompts under way hold all blocks between
// them; the later one starts over.
func TestPromptsThatBlockEachOther(t *testing.T) {
	a, b := &item{need: 256, done: 64, blocks: 1}, &item{need: 192, done: 128, blocks: 2}
	decided(limits{rows: 64, chunk: 64, sequences: 4, free: 0}, a, b)
	if a.take != 64 || a.evict || !b.evict {
		t.Errorf("first %+v, second %+v; expected the second to give its blocks to the first", *a, *b)
	}
}

// TestMostServedGivesWay: blocks are taken from the tenant that has had the most,
// though its sequence came first.
func TestMostServedGivesWay(t *testing.T) {
	rich, poor := &tenant{account: account{served: 1000}}, &tenant{account: account{served: 10}}
	first, last := &item{need: 40, done: 39, blocks: 1}, &item{need: 65, done: 64, blocks: 1}
	for i, who := range []*tenant{rich, poor} {
		it := []*item{first, last}[i]
		it.seq, it.account, it.arrival = &Sequence{tenant: who}, &who.account, uint64(i)
	}
	w := newWorld(1, limits{rows: 8, chunk: 8, sequences: 4, blocks: 2})
	w.plan.decide([]*item{first, last}, w.lines, w.l)
	if last.take != 1 || !first.evict {
		t.Errorf("first %+v, last %+v; expected the first to give its block to the last", *first, *last)
	}
}
