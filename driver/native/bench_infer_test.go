package native

import (
	"slices"
	"testing"
)

// TestBenchWindow: only the time in which every sequence decodes counts, and a
// token at its start belongs to the prompt.
func TestBenchWindow(t *testing.T) {
	c := benchCall{wall: 9, times: [][]float64{{1, 2, 3, 4, 5}, {3, 4, 5, 6, 7}}}
	from, to, made := c.window()
	if from != 3 || to != 5 || made != 4 {
		t.Errorf("window = %v to %v with %d tokens, want 3 to 5 with 4", from, to, made)
	}
	if gaps := c.gaps(nil, from, to); !slices.Equal(gaps, []float64{1000, 1000, 1000, 1000}) {
		t.Errorf("gaps = %v", gaps)
	}
	late := benchCall{wall: 6, times: [][]float64{{1, 2}, {3, 6}}}
	if from, to, made := late.window(); from != 3 || to != 6 || made != 1 {
		t.Errorf("sequences that never decode together: %v to %v with %d tokens, want 3 to 6 with 1", from, to, made)
	}
}

// TestBenchIDs: the values that bench/measured.py's prompt(1, 4, 49152) gives.
func TestBenchIDs(t *testing.T) {
	if got := benchIDs(1, 4, 49152); !slices.Equal(got, []int32{15852, 10154, 33672, 4696}) {
		t.Errorf("ids = %v", got)
	}
	for _, id := range benchIDs(0, 100, 64) {
		if id < 0 || id >= 64 {
			t.Fatalf("id %d is not in a vocabulary of 64", id)
		}
	}
}

func TestQuantile(t *testing.T) {
	if got := median([]float64{9, 1, 5, 3}); got != 4 {
		t.Errorf("median = %v, want 4", got)
	}
	if got := quantile([]float64{0, 10}, 0.9); got != 9 {
		t.Errorf("90th percentile = %v, want 9", got)
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("of nothing = %v", got)
	}
}
