package kernel

import (
	"runtime"
	"testing"
	"time"
)

// Small panels share slabs; a slab is unmapped when the last of its panels is
// gone, and not before.
func TestSlabs(t *testing.T) {
	slabs.Lock()
	before := slabs.filling
	slabs.Unlock()
	const n, k = 64, 512
	var kept []*Panels
	var first *slab
	for i := 0; i < 400; i++ { // 25 MiB: more than two slabs
		p := NewPanels(FormatBF16, n, k)
		slabs.Lock()
		if s := slabs.filling; s != before && first == nil {
			first = s
		}
		slabs.Unlock()
		for c := range n {
			p.SetRowF32(c, constRow(k, float32(i)))
		}
		if i%40 == 0 {
			kept = append(kept, p)
		}
	}
	refs := func() int {
		slabs.Lock()
		defer slabs.Unlock()
		return first.refs
	}
	full := refs()
	for range 100 {
		if runtime.GC(); refs() < full/2 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if r := refs(); r >= full/2 || r == 0 {
		t.Errorf("a slab of which some panels live has %d references of %d", r, full)
	}
	row := make([]float32, k)
	for i, p := range kept {
		p.RowF32(n-1, row)
		wantBits(t, "kept panel", row, constRow(k, float32(i*40)))
	}
	clear(kept)
	for range 100 {
		if runtime.GC(); refs() == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("a slab that no panel uses keeps %d references", refs())
}

func constRow(n int, v float32) []float32 {
	row := make([]float32, n)
	for i := range row {
		row[i] = v
	}
	return row
}
