package curate

import (
	"cmp"
	"hash/maphash"
	"math"
	"slices"
	"unicode/utf8"
)

// shingle is how many characters a shingle has.
const shingle = 5

// Index finds which of a set of texts another text equals or nearly equals.
//
// Nearness is the Jaccard similarity of the sets of 5-character shingles of the
// normalised texts. Shingles that over half of the texts hold (a common
// instruction) say nothing about any of them and are left out. Candidates come
// from prefix filtering (Chaudhuri, Ganti, Kaushik, "A Primitive Operator for
// Similarity Joins", ICDE 2006): two sets of similarity t share one of the
// n - ceil(t n) + 1 rarest shingles, so nothing at or above the threshold is
// missed, and every candidate is compared exactly.
type Index struct {
	seed   maphash.Seed
	exact  map[string][]int
	sets   [][]uint64       // sorted, without common shingles
	posts  map[uint64][]int // shingle -> texts, ascending
	common map[uint64]bool
}

// Match is one text of an index and how near it is.
type Match struct {
	Text    int     // its place in the slice given to NewIndex
	Jaccard float64 // 1 = equal after normalising
}

// NewIndex indexes texts.
func NewIndex(texts []string) *Index {
	x := &Index{seed: maphash.MakeSeed(), exact: map[string][]int{}, posts: map[uint64][]int{}, common: map[uint64]bool{}}
	x.sets = make([][]uint64, len(texts))
	count := map[uint64]int{}
	for i, t := range texts {
		n := Normalise(t)
		x.exact[n] = append(x.exact[n], i)
		x.sets[i] = x.shingles(n)
		for _, h := range x.sets[i] {
			count[h]++
		}
	}
	for h, n := range count {
		if len(texts) >= 10 && 2*n > len(texts) {
			x.common[h] = true
		}
	}
	for i := range x.sets {
		x.sets[i] = x.telling(x.sets[i])
		for _, h := range x.sets[i] {
			x.posts[h] = append(x.posts[h], i)
		}
	}
	return x
}

// shingles returns the sorted set of hashed shingles of a normalised text; a
// text too short for one is a single shingle.
func (x *Index) shingles(n string) []uint64 {
	if n == "" {
		return nil
	}
	starts := make([]int, 0, len(n)+1)
	for i := range n {
		starts = append(starts, i)
	}
	starts = append(starts, len(n))
	if utf8.RuneCountInString(n) <= shingle {
		return []uint64{maphash.String(x.seed, n)}
	}
	out := make([]uint64, 0, len(starts))
	for i := 0; i+shingle < len(starts); i++ {
		out = append(out, maphash.String(x.seed, n[starts[i]:starts[i+shingle]]))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (x *Index) telling(set []uint64) []uint64 {
	return slices.DeleteFunc(set, func(h uint64) bool { return x.common[h] })
}

// Find returns the texts that equal text, or are at least threshold near to it,
// nearest first. A threshold of 1 or more finds equal ones alone.
func (x *Index) Find(text string, threshold float64) []Match {
	n := Normalise(text)
	var out []Match
	equal := x.exact[n]
	for _, i := range equal {
		out = append(out, Match{i, 1})
	}
	if threshold >= 1 || n == "" {
		return out
	}
	set := x.telling(x.shingles(n))
	if len(set) == 0 {
		return out
	}
	rare := slices.Clone(set)
	slices.SortFunc(rare, func(a, b uint64) int {
		return cmp.Or(cmp.Compare(len(x.posts[a]), len(x.posts[b])), cmp.Compare(a, b))
	})
	// A little less than the product, which may come out a hair above a whole number.
	probe := len(set) - int(math.Ceil(threshold*float64(len(set))-1e-9)) + 1
	tried := map[int]bool{}
	for _, h := range rare[:min(probe, len(rare))] {
		for _, i := range x.posts[h] {
			if tried[i] || slices.Contains(equal, i) {
				continue
			}
			tried[i] = true
			if j := jaccard(set, x.sets[i]); j >= threshold {
				out = append(out, Match{i, j})
			}
		}
	}
	slices.SortFunc(out, func(a, b Match) int { return cmp.Or(cmp.Compare(b.Jaccard, a.Jaccard), cmp.Compare(a.Text, b.Text)) })
	return out
}

// jaccard is |a and b| / |a or b| of two sorted sets.
func jaccard(a, b []uint64) float64 {
	both := 0
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			both++
			i++
			j++
		case a[i] < b[j]:
			i++
		default:
			j++
		}
	}
	return float64(both) / float64(len(a)+len(b)-both)
}
