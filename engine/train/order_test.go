package train

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestOrderSeesEveryExampleOnceAnEpoch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, batch := rapid.IntRange(1, 50).Draw(t, "examples"), rapid.IntRange(1, 17).Draw(t, "batch")
		c := Config{BatchSize: batch, Seed: rapid.Uint64().Draw(t, "seed"), Shuffle: rapid.Bool().Draw(t, "shuffle")}
		o := newOrder(n, c)
		for epoch := range 3 {
			var seen []int
			for k := range o.perEpoch() {
				seen = append(seen, o.step(epoch*o.perEpoch()+k)...)
			}
			if !c.Shuffle && !slices.IsSorted(seen) {
				t.Fatalf("not shuffled, but the order is %v", seen)
			}
			slices.Sort(seen)
			for i, e := range seen {
				if e != i {
					t.Fatalf("epoch %d sees %v", epoch, seen)
				}
			}
			if len(seen) != n {
				t.Fatalf("epoch %d sees %d of %d examples", epoch, len(seen), n)
			}
		}
	})
}

// TestOrderIsAFunctionOfTheStep: a resumed run asks for any step first.
func TestOrderIsAFunctionOfTheStep(t *testing.T) {
	c := Config{BatchSize: 4, Seed: 9, Shuffle: true}
	whole := newOrder(30, c)
	var want [][]int
	for s := range 40 {
		want = append(want, slices.Clone(whole.step(s)))
	}
	for _, s := range []int{39, 0, 17, 8, 7} {
		if got := newOrder(30, c).step(s); !slices.Equal(got, want[s]) {
			t.Errorf("step %d: %v, in one go %v", s, got, want[s])
		}
	}
	if slices.Equal(want[0], want[8]) {
		t.Error("two epochs have the same order")
	}
	c.Seed++
	if slices.Equal(newOrder(30, c).step(0), want[0]) {
		t.Error("two seeds have the same order")
	}
}

func TestSteps(t *testing.T) {
	for _, c := range []struct {
		n, batch int
		epochs   float64
		max      int
		want     int
	}{
		{10, 4, 1, 0, 3}, {10, 4, 2, 0, 6}, {10, 4, 0.5, 0, 2}, {8, 4, 3, 0, 6}, {8, 4, 3, 5, 5}, {1, 16, 0.001, 0, 1}, {10, 5, 0.1, 0, 1},
	} {
		o := newOrder(c.n, Config{BatchSize: c.batch})
		if got := o.total(c.epochs, c.max); got != c.want {
			t.Errorf("%+v: %d steps", c, got)
		}
	}
}

// example makes one of n rows, all of whose tokens but the first are targets.
func example(rows int) Example {
	e := Example{ID: fmt.Sprintf("rows-%d", rows)}
	for i := range rows + 1 {
		e.IDs = append(e.IDs, int32(i))
		e.Mask = append(e.Mask, i > 0)
	}
	return e
}

func TestRowsEndBeforeTheLastTarget(t *testing.T) {
	e := Example{IDs: []int32{5, 6, 7, 8, 9}, Mask: []bool{false, false, true, true, false}}
	if e.rows() != 3 || e.targets() != 2 {
		t.Errorf("rows %d, targets %d; want 3 and 2", e.rows(), e.targets())
	}
}

func TestCanonicalIsBestFit(t *testing.T) {
	var data []Example
	for _, n := range []int{3, 9, 2, 5, 7, 1} {
		data = append(data, example(n))
	}
	p := newPacker(data, false)
	// Capacity 10, by falling size: 9 | 7 | 5 | 3 fits best beside 7 | 2 beside 5
	// (free 5; 7+3 is full, 9 has 1) | 1 beside 9.
	p.canonical([]int{0, 1, 2, 3, 4, 5}, 10)
	got := p.order
	if want := []int{1, 5, 4, 0, 3, 2}; !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
}

func TestCanonicalDependsOnTheSetOfTheStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(1, 40), 1, 24).Draw(t, "sizes")
		var data []Example
		var step []int
		for i, n := range sizes {
			data = append(data, example(n))
			step = append(step, i)
		}
		p := newPacker(data, false)
		units := slices.Clone(p.canonical(step, 40))
		sorted := slices.Sorted(slices.Values(p.order))
		if !slices.Equal(sorted, step) {
			t.Fatalf("order %v is no permutation of %v", p.order, step)
		}
		micro, tokens := rapid.IntRange(0, 5).Draw(t, "micro"), rapid.IntRange(0, 60).Draw(t, "tokens")
		cuts := p.cut(units, micro, tokens)
		if cuts[0] != 0 || cuts[len(cuts)-1] != len(units) {
			t.Fatalf("cuts %v do not cover %d examples", cuts, len(units))
		}
		for i := range len(cuts) - 1 {
			part := units[cuts[i]:cuts[i+1]]
			if len(part) == 0 || (micro > 0 && len(p.examples(part)) > micro && len(part) > 1) || (tokens > 0 && rowsOf(part) > tokens && len(part) > 1) {
				t.Fatalf("micro-batch %v of %v rows, limits %d examples, %d tokens", part, rowsOf(part), micro, tokens)
			}
		}
	})
}

func TestPackingWastesLittle(t *testing.T) {
	var data []Example
	var step []int
	for i := range 64 {
		data = append(data, example(10+(i*37)%90))
		step = append(step, i)
	}
	p := newPacker(data, false)
	units := p.canonical(step, 256)
	cuts := p.cut(units, 0, 256)
	used := float64(rowsOf(units)) / float64(256*(len(cuts)-1))
	if used < 0.85 {
		t.Errorf("passes of 256 tokens are %.0f%% full", 100*used)
	}
}
