package model_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dlm/engine/kernel"
	"dlm/engine/model"
	"dlm/engine/weights"
)

// loadWith is load with a kernel set of choice.
func loadWith(t testing.TB, path, set string, mode kernel.Mode, threads int) *model.Model {
	t.Helper()
	x, err := kernel.NewWith(set, threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	ck, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	m, err := model.Load(ck, x, mode)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// family makes the sequences of a tree: a system message, prompts under it, and
// completions under each, with the lengths that the levels are given.
func family(rng *rand.Rand, vocab int, levels ...[]int) [][]int32 {
	draw := func(n int) (ids []int32) {
		for range n {
			ids = append(ids, int32(rng.IntN(vocab)))
		}
		return ids
	}
	seqs := [][]int32{nil}
	for _, lengths := range levels {
		var next [][]int32
		for _, s := range seqs {
			for _, n := range lengths {
				next = append(next, append(slices.Clone(s), draw(n)...))
			}
		}
		seqs = next
	}
	slices.SortFunc(seqs, model.CompareSequences)
	return seqs
}

// families cover blocks of 64: prefixes that end inside one, at its edge, and
// several levels inside the same one.
func families(vocab int) map[string][][]int32 {
	rng := rand.New(rand.NewPCG(7, 7))
	return map[string][][]int32{
		"pair":            family(rng, vocab, []int{40}, []int{30, 17}),
		"edge of a block": family(rng, vocab, []int{64}, []int{5, 70, 1}),
		"three levels":    family(rng, vocab, []int{21}, []int{23, 90}, []int{33, 8}),
		"long":            family(rng, vocab, []int{131}, []int{16, 66}, []int{3, 62, 61}),
		"its own prefix":  beginnings(family(rng, vocab, []int{90})[0], 50, 90, 67),
	}
}

// beginnings are sequences that are prefixes of one another.
func beginnings(ids []int32, lengths ...int) (seqs [][]int32) {
	for _, n := range slices.Sorted(slices.Values(lengths)) {
		seqs = append(seqs, ids[:n])
	}
	return seqs
}

// treeRun is what a pass over some sequences gave.
type treeRun struct {
	rows  int
	logps [][]float32 // of each sequence, each next token
	gradA map[int][]float32
	gradB map[int][]float32
}

// run takes sequences through one pass: as a tree, or one after the other.
func runTree(t testing.TB, m *model.Model, ad *peft, seqs [][]int32, shared bool, again ...model.Recompute) treeRun {
	t.Helper()
	var f model.Forest
	var in []model.Sequence
	for i, s := range seqs {
		in = append(in, model.Sequence{IDs: s, Adapter: ad, Example: i})
	}
	if shared {
		f.Add(in...)
	} else {
		for _, s := range in {
			f.Add(s)
		}
	}
	var targets []model.Target
	var dlogp []float32
	for i, s := range seqs {
		for pos, id := range s[1:] {
			targets = append(targets, model.Target{Row: f.Row(i, pos), ID: id})
			dlogp = append(dlogp, -float32(1+pos%3)/64)
		}
	}
	p := m.NewPass(f.Rows, 4, true, again...)
	if err := p.Forward(f.Segments); err != nil {
		t.Fatal(err)
	}
	for _, lo := range ad.loras {
		clear(lo.GradA)
		clear(lo.GradBT)
	}
	logps := make([]float32, len(targets))
	p.LogProbsGrad(logps, targets, dlogp)
	p.Backward(nil, nil)
	r := treeRun{rows: p.Rows(), gradA: map[int][]float32{}, gradB: map[int][]float32{}}
	for _, s := range seqs {
		r.logps = append(r.logps, logps[:len(s)-1])
		logps = logps[len(s)-1:]
	}
	for key, lo := range ad.loras {
		r.gradA[key], r.gradB[key] = slices.Clone(lo.GradA), slices.Clone(lo.GradBT)
	}
	return r
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// relative is the distance of two gradients relative to the second's length.
func relative(a, b map[int][]float32) float64 {
	diff, length := 0.0, 0.0
	for key := range b {
		for i, v := range b[key] {
			d := float64(a[key][i] - v)
			diff += d * d
			length += float64(v) * float64(v)
		}
	}
	return math.Sqrt(diff / length)
}

// TestSharedPrefix: rows that continue a shared prefix give the bits of whole
// sequences; gradients are their sum; and on every kernel set and number of
// threads the bits are the same.
func TestSharedPrefix(t *testing.T) {
	for _, dir := range []string{"llama-tied", "qwen2", "llama3-untied", "qwen3"} {
		for _, mode := range []kernel.Mode{kernel.F32, kernel.BF16} {
			t.Run(fmt.Sprint(dir, " ", mode), func(t *testing.T) {
				path := filepath.Join(tinyDir, dir)
				m := load(t, path, mode, 2)
				ad := loadPEFT(t, filepath.Join(path, "adapter"), m, true)
				tolerance := 2e-6
				if mode == kernel.BF16 {
					tolerance = 1e-2 // operands of the backward pass are rounded in other places
				}
				for name, seqs := range families(m.Config().Vocab) {
					whole, tree := runTree(t, m, ad, seqs, false), runTree(t, m, ad, seqs, true)
					if tree.rows >= whole.rows && len(seqs) > 1 {
						t.Errorf("%s: %d rows, without sharing %d", name, tree.rows, whole.rows)
					}
					for i := range seqs {
						if !sameBits(tree.logps[i], whole.logps[i]) {
							t.Errorf("%s: log-probabilities of sequence %d differ from those of it alone", name, i)
						}
					}
					for what, d := range map[string]float64{"A": relative(tree.gradA, whole.gradA), "B": relative(tree.gradB, whole.gradB)} {
						t.Logf("%s: gradient of %s differs by %.2g", name, what, d)
						if d > tolerance {
							t.Errorf("%s: gradient of %s is %g off the sum over separate sequences", name, what, d)
						}
					}
				}
			})
		}
	}
}

func TestSharedPrefixOnEverySet(t *testing.T) {
	seqs := family(rand.New(rand.NewPCG(1, 2)), 300, []int{41}, []int{17, 29}, []int{9, 4})
	for _, mode := range []kernel.Mode{kernel.F32, kernel.BF16} {
		path := filepath.Join(tinyDir, "llama-tied")
		var want treeRun
		for i, set := range kernel.Sets() {
			if !set.Available {
				continue
			}
			for _, threads := range []int{1, 2} {
				if set.Name == "portable" && threads == 2 {
					continue // slow, and 1 = 2 threads is shown by the others
				}
				m := loadWith(t, path, set.Name, mode, threads)
				ad := loadPEFT(t, filepath.Join(path, "adapter"), m, true)
				got := runTree(t, m, ad, seqs, true)
				if want.rows == 0 {
					want = got
				}
				same := true
				for s := range want.logps {
					same = same && sameBits(got.logps[s], want.logps[s])
				}
				for key := range want.gradA {
					same = same && sameBits(got.gradA[key], want.gradA[key]) && sameBits(got.gradB[key], want.gradB[key])
				}
				if !same {
					t.Errorf("%v, set %d (%s), %d threads: other bits", mode, i, set.Name, threads)
				}
			}
		}
	}
}

// TestSharedPrefixFiniteDifferences moves all of A and B along a random
// direction, so that the tree's own gradient is checked and not only its
// likeness to separate rows.
func TestSharedPrefixFiniteDifferences(t *testing.T) {
	path := filepath.Join(tinyDir, "llama-tied")
	m := load(t, path, kernel.F32, 2)
	ad := loadPEFT(t, filepath.Join(path, "adapter"), m, true)
	seqs := families(m.Config().Vocab)["three levels"]
	rng := rand.New(rand.NewPCG(3, 4))
	type values struct{ a, b, da, db [][]float32 }
	v := map[int]values{}
	for key, lo := range ad.loras {
		a, b := rowsOf(lo.A), rowsOf(lo.B)
		v[key] = values{a, b, direction(rng, a), direction(rng, b)}
	}
	loss := func(h float32) (sum float64) {
		for key, lo := range ad.loras {
			setRows(lo.A, v[key].a, v[key].da, h)
			setRows(lo.B, v[key].b, v[key].db, h)
		}
		for _, logps := range runTree(t, m, ad, seqs, true).logps {
			for pos, l := range logps {
				sum -= float64(l) * float64(1+pos%3) / 64
			}
		}
		return sum
	}
	base := runTree(t, m, ad, seqs, true)
	want := 0.0
	for key, x := range v {
		for r, d := range x.da {
			for c := range d {
				want += float64(base.gradA[key][r*len(d)+c]) * float64(d[c])
			}
		}
		for r, d := range x.db {
			for c := range d {
				want += float64(base.gradB[key][c*len(x.db)+r]) * float64(d[c])
			}
		}
	}
	const h = 2e-3
	got := (8*(loss(h)-loss(-h)) - (loss(2*h) - loss(-2*h))) / (12 * h)
	t.Logf("central difference %v, gradient %v", got, want)
	if math.Abs(got-want) > 2e-3*math.Abs(want)+3e-3 {
		t.Errorf("the loss changes by %v along the direction, the gradient says %v", got, want)
	}
}

func rowsOf(p *kernel.Panels) (rows [][]float32) {
	for r := range p.N {
		row := make([]float32, p.K)
		p.RowF32(r, row)
		rows = append(rows, row)
	}
	return rows
}

func direction(rng *rand.Rand, like [][]float32) (d [][]float32) {
	for _, row := range like {
		v := make([]float32, len(row))
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
		d = append(d, v)
	}
	return d
}

func setRows(p *kernel.Panels, rows, d [][]float32, h float32) {
	for r, row := range rows {
		moved := slices.Clone(row)
		for c := range moved {
			moved[c] += h * d[r][c]
		}
		p.SetRowF32(r, moved)
	}
}

// TestForest: whatever the sequences, every position of every one has a row of
// its own token, a path of segments that fit, and sharing happens where it pays.
func TestForest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seqs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) []int32 {
			a, b := rapid.IntRange(0, 2).Draw(t, "system"), rapid.IntRange(0, 2).Draw(t, "prompt")
			ids := slices.Concat(slices.Repeat([]int32{int32(a)}, 20), slices.Repeat([]int32{int32(b)}, rapid.IntRange(0, 30).Draw(t, "length")))
			return append(ids, rapid.SliceOfN(rapid.Int32Range(0, 2), 0, 20).Draw(t, "rest")...)
		}), 1, 8).Draw(t, "sequences")
		slices.SortFunc(seqs, model.CompareSequences)
		var f model.Forest
		var in []model.Sequence
		total := 0
		for _, s := range seqs {
			in = append(in, model.Sequence{IDs: s})
			total += len(s)
		}
		rows := f.RowsOf(seqs...)
		f.Add(in...)
		if f.Rows != rows || rows > total {
			t.Fatalf("%d rows, RowsOf says %d, separately %d", f.Rows, rows, total)
		}
		token := make([]int32, 0, f.Rows)
		for i, s := range f.Segments {
			if len(s.IDs) == 0 {
				t.Fatalf("segment %d is empty", i)
			}
			if up := s.Parent - 1; up >= i || up >= 0 && f.Segments[up].Start+len(f.Segments[up].IDs) != s.Start || up < 0 && s.Start != 0 {
				t.Fatalf("segment %d does not continue its parent", i)
			}
			token = append(token, s.IDs...)
		}
		for i, s := range seqs {
			for pos, id := range s {
				if token[f.Row(i, pos)] != id {
					t.Fatalf("sequence %d, position %d: row %d holds another token", i, pos, f.Row(i, pos))
				}
			}
			for j := range i {
				n := model.CommonPrefix(seqs[j], s)
				if same := f.Row(i, 0) == f.Row(j, 0); same != (n >= model.MinShared) {
					t.Fatalf("sequences %d and %d have %d tokens in common; shared: %v", j, i, n, same)
				}
			}
		}
	})
}

func TestTreeRefusals(t *testing.T) {
	path := filepath.Join(tinyDir, "llama-tied")
	m := load(t, path, kernel.BF16, 1)
	ad := loadPEFT(t, filepath.Join(path, "adapter"), m, false)
	p := m.NewPass(32, 4, false)
	root := model.Segment{IDs: []int32{1, 2, 3}, Adapter: ad}
	child := func(change func(*model.Segment)) []model.Segment {
		s := model.Segment{IDs: []int32{4}, Start: 3, Parent: 1, Adapter: ad}
		change(&s)
		return []model.Segment{root, s}
	}
	for want, segs := range map[string][]model.Segment{
		"ends at 3":       child(func(s *model.Segment) { s.Start = 2 }),
		"another adapter": child(func(s *model.Segment) { s.Adapter = nil }),
		"stands before":   child(func(s *model.Segment) { s.Parent = 2 }),
		"continues":       child(func(s *model.Segment) { s.Parent = -4 }),
		"without a paren": child(func(s *model.Segment) { s.Parent = 0 }),
		"cache":           child(func(s *model.Segment) { s.Cache = fullCache{} }),
	} {
		if err := p.Forward(segs); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want one that says %q", err, want)
		}
	}
	if err := p.Forward(child(func(*model.Segment) {})); err != nil {
		t.Error(err)
	}
}

// fullCache claims to hold three positions.
type fullCache struct{ model.Cache }

func (fullCache) Len() int { return 3 }

// A preference pair: two completions of one prompt, which is computed once.
func ExampleForest() {
	prompt := []int32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18}
	chosen, rejected := append(slices.Clone(prompt), 20, 21, 22), append(slices.Clone(prompt), 30, 31)
	var f model.Forest
	pair := f.Add(model.Sequence{IDs: chosen}, model.Sequence{IDs: rejected})
	fmt.Println(len(chosen)+len(rejected), "tokens,", f.Rows, "rows,", len(f.Segments), "segments")
	fmt.Println("last prompt token:", f.Row(pair, 17), f.Row(pair+1, 17))
	fmt.Println("first completion token:", f.Row(pair, 18), f.Row(pair+1, 18))
	// Output:
	// 41 tokens, 23 rows, 3 segments
	// last prompt token: 17 17
	// first completion token: 18 21
}
