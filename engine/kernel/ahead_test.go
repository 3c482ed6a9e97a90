package kernel

import (
	"slices"
	"sync"
	"testing"
)

// Each part is taken once, whoever takes it; a worker's own from the front, others'
// from the back.
func TestLots(t *testing.T) {
	const parts, workers = 1000, 4
	l := newLots(workers)
	l.deal(parts)
	all := make([]int, 0, parts)
	for want := 250; want < 255; want++ {
		part, ok := l.own(1)
		if all = append(all, part); !ok || part != want {
			t.Fatalf("worker 1 takes part %d of its own (%v), expected %d", part, ok, want)
		}
	}
	part, ok := l.others(0)
	if all = append(all, part); !ok || part != 499 {
		t.Fatalf("worker 0 takes part %d of worker 1's (%v), expected 499", part, ok)
	}
	taken := make([][]int, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for part, ok := l.own(w); ok; part, ok = l.own(w) {
				taken[w] = append(taken[w], part)
			}
			for part, ok := l.others(w); ok; part, ok = l.others(w) {
				taken[w] = append(taken[w], part)
			}
		})
	}
	wg.Wait()
	all = append(all, slices.Concat(taken...)...)
	slices.Sort(all)
	for i, p := range all {
		if p != i {
			t.Fatalf("part %d is taken as number %d", p, i)
		}
	}
	if len(all) != parts {
		t.Errorf("%d parts of %d are taken", len(all), parts)
	}
}

// The workers' walks together fetch each byte of every B and of every A that
// follows, once, and none beside them.
func TestAheadFetchesEveryByte(t *testing.T) {
	for workers := 1; workers <= 3; workers++ {
		c := newProjectCase(7, BF16, 24, []int{320, 64, 130}, []int{16, 3, 0, 70, 8})
		following := newProjectCase(8, BF16, 24, []int{64, 64}, []int{16, 3})
		j := &job{proj: c.ps, dealt: newLots(workers), chunks: 1, unit: 1, group: 2, a: c.a}
		for _, p := range following.ps {
			j.next = append(j.next, p.Low)
		}
		want := map[uintptr]int{}
		count := func(b []byte) {
			for at := 0; at < len(b); at += laneCols * 4 {
				want[uintptr(ptr(b[at:]))]++
			}
		}
		for _, p := range c.ps {
			j.panels += p.W.count()
			for _, l := range p.Low {
				count(l.B.data)
			}
		}
		for _, p := range following.ps {
			for _, l := range p.Low {
				if l.A != nil {
					count(l.A.data)
				}
			}
		}
		j.bases = (j.panels + 1) / 2
		for w := range workers {
			var h ahead
			h.begin(j, w)
			for last := false; !last; {
				var q [queueSpans]Span
				h.fill(&q, 4096, 64)
				for i := range q {
					if last = i == 0 && q[i].at == 64; q[i].at == 64 {
						break
					}
					for at := q[i].at; at < q[i].end; at += laneCols * 4 {
						want[at]--
					}
				}
			}
		}
		for at, n := range want {
			if n != 0 {
				t.Errorf("%d workers: the line at %x is left %d times", workers, at, n)
				break
			}
		}
	}
}
