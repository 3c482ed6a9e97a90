package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"dlm/engine/kernel"
	"dlm/engine/lora"
	"dlm/engine/model"
)

// related makes n examples under two system messages, several of which share
// their whole prompt too.
func related(n, vocab int) []Example {
	draw := func(seed uint64, n int) (ids []int32) {
		for t := range n {
			ids = append(ids, int32(mix(seed<<20^uint64(t))%uint64(vocab)))
		}
		return ids
	}
	var data []Example
	for i := range n {
		e := Example{ID: fmt.Sprint("related-", i)}
		e.IDs = slices.Concat(draw(uint64(i%2), 25), draw(uint64(100+i/3), 18))
		prompt := len(e.IDs)
		e.IDs = append(e.IDs, draw(uint64(1000+i), 3+i%5)...)
		for t := range e.IDs {
			e.Mask = append(e.Mask, t >= prompt)
		}
		data = append(data, e)
	}
	return data
}

// shareRun trains on related examples in a folder, without dropout.
func shareRun(t *testing.T, ctx context.Context, m *model.Model, cfg Config, dir string, emit func(Event)) (string, Result, error) {
	t.Helper()
	a := lora.New(m, lora.Config{Rank: 4, Alpha: 8}, 3)
	v := m.Config().Vocab
	res, err := Run(ctx, m, a, related(20, v), related(6, v), cfg, dir, emit)
	return valueHash(a), res, err
}

func shareRecipe() Config {
	cfg := recipe()
	cfg.SharePrefix = true
	return cfg
}

// TestSharedPrefixesKeepTheLaws: with shared prefixes too, the adapter's bytes
// do not depend on how a step is cut, on threads, on recomputation, or on being
// cut off; and the loss of a step is that of separate rows to the last bit.
func TestSharedPrefixesKeepTheLaws(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			bases := map[int]*model.Model{1: tiny(t, "llama-tied", mode, 1), 2: tiny(t, "llama-tied", mode, 2)}
			run := func(threads int, cfg Config) (string, Result) {
				hash, res, err := shareRun(t, context.Background(), bases[threads], cfg, t.TempDir(), nil)
				if err != nil {
					t.Fatal(err)
				}
				return hash, res
			}
			want, wantRes := run(1, shareRecipe())
			for _, way := range []struct {
				name    string
				threads int
				change  func(*Config)
			}{
				{"one example a pass", 1, func(c *Config) { c.MicroBatch = 1 }},
				{"three examples a pass", 2, func(c *Config) { c.MicroBatch = 3 }},
				{"at most 70 tokens a pass", 1, func(c *Config) { c.MicroTokens = 70 }},
				{"unpacked", 2, func(c *Config) { c.Packing = false }},
				{"activations computed again", 2, func(c *Config) { c.Checkpointing = "on" }},
			} {
				cfg := shareRecipe()
				way.change(&cfg)
				hash, res := run(way.threads, cfg)
				if hash != want || !slices.Equal(res.Losses, wantRes.Losses) || !slices.Equal(res.Evals, wantRes.Evals) {
					t.Errorf("%s: another adapter, loss or evaluation", way.name)
				}
			}
			// Cut off and resumed.
			dir := t.TempDir()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if _, _, err := shareRun(t, ctx, bases[1], shareRecipe(), dir, func(e Event) {
				if e.Kind == "checkpoint" && e.Step == 3 {
					cancel()
				}
			}); !errors.Is(err, context.Canceled) {
				t.Fatalf("error %v, expected that the run was cancelled", err)
			}
			hash, res, err := shareRun(t, context.Background(), bases[2], shareRecipe(), dir, nil)
			if err != nil || hash != want || !slices.Equal(res.Losses, wantRes.Losses) {
				t.Errorf("resumed: error %v, same adapter %v", err, hash == want)
			}
			// Without sharing: other last bits, but the first loss and what is learnt are the same.
			cfg := recipe()
			hash, res = run(1, cfg)
			if hash == want {
				t.Error("sharing changes nothing, so equality says little")
			}
			if res.Losses[0] != wantRes.Losses[0] {
				t.Errorf("first loss %v, with shared prefixes %v", res.Losses[0], wantRes.Losses[0])
			}
			last := len(res.Losses) - 1
			if d := math.Abs(res.Losses[last]-wantRes.Losses[last]) / res.Losses[last]; d > 0.02 || mode == kernel.F32 && d > 1e-4 {
				t.Errorf("last loss %v, with shared prefixes %v", res.Losses[last], wantRes.Losses[last])
			}
		})
	}
}

// TestSharingIsPartOfTheRun: it is no setting to change half-way, and with
// dropout, or where nothing is shared, it changes nothing.
func TestSharingIsPartOfTheRun(t *testing.T) {
	m := tiny(t, "llama-tied", kernel.BF16, 1)
	dir := t.TempDir()
	if _, _, err := shareRun(t, context.Background(), m, shareRecipe(), dir, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := shareRun(t, context.Background(), m, recipe(), dir, nil); err == nil {
		t.Error("a run with shared prefixes was resumed as one without")
	}
	on, _ := train(t, kernel.BF16, 1, shareRecipe()) // with dropout
	off, _ := train(t, kernel.BF16, 1, recipe())
	if valueHash(on) != valueHash(off) {
		t.Error("with dropout share_prefix changes the adapter")
	}
	v := m.Config().Vocab
	for _, data := range [][]Example{synthetic(20, v), related(20, v)} {
		plan, err := Preview(m, lora.New(m, lora.Config{Rank: 4, Alpha: 8}, 3), data, nil, shareRecipe())
		if err != nil {
			t.Fatal(err)
		}
		rows := 0
		for s := range 5 {
			for _, i := range newOrder(20, shareRecipe()).step(s) {
				rows += data[i].rows()
			}
		}
		if plan.Computed+plan.Shared != rows || (plan.Shared > rows/4) != (data[0].ID == "related-0") {
			t.Errorf("%s: %d rows computed, %d shared; %d in all", data[0].ID, plan.Computed, plan.Shared, rows)
		}
	}
}

// TestGroups: every example of a step is in one unit, units that have several
// share and stay small, and the order in which the step names them is no matter.
func TestGroups(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := related(rapid.IntRange(1, 40).Draw(t, "examples"), 384)
		for range rapid.IntRange(0, 6).Draw(t, "long ones") {
			data = append(data, example(rapid.IntRange(1, 900).Draw(t, "rows")))
		}
		var step []int
		for i := range data {
			step = append(step, i)
		}
		g := newGroups(data, true)
		units, order := g.of(step)
		if !slices.Equal(slices.Sorted(slices.Values(order)), step) {
			t.Fatalf("order %v is no permutation of the step", order)
		}
		for _, u := range units {
			longest, sum := 0, 0
			for _, i := range order[u.lo:u.hi] {
				longest, sum = max(longest, data[i].rows()), sum+data[i].rows()
			}
			switch alone := u.hi-u.lo == 1; {
			case alone && u.rows != sum:
				t.Fatalf("an example of %d rows is a unit of %d", sum, u.rows)
			case !alone && (u.rows > max(groupRows, longest+longest/2) || u.rows > sum-model.MinShared):
				t.Fatalf("%d examples of %d rows, the longest of %d, are a unit of %d", u.hi-u.lo, sum, longest, u.rows)
			}
		}
		want := slices.Clone(order)
		slices.Reverse(step)
		if _, order := newGroups(data, true).of(step); !slices.EqualFunc(order, want, func(a, b int) bool { return slices.Equal(g.ids[a], g.ids[b]) }) {
			t.Fatalf("another order of the step gives other groups")
		}
	})
}
