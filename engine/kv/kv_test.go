package kv

import (
	"errors"
	"fmt"
	"testing"

	"dlm/engine/kernel"
	"pgregory.net/rapid"
)

var tiny = Shape{Layers: 2, KVHeads: 3, HeadDim: 4}

func pool(t *testing.T, shape Shape, blocks int64) *Pool {
	t.Helper()
	p, err := NewPool(shape, blocks*shape.BlockBytes())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBlocksHaveTheLayoutOfTheMultiply(t *testing.T) {
	for _, mode := range []kernel.Mode{kernel.BF16, kernel.F32} {
		shape := tiny
		shape.Mode = mode
		s := pool(t, shape, 4).NewSequence()
		if err := s.Grow(65); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for layer := range shape.Layers {
			for head := range shape.KVHeads {
				k, v := s.Blocks(layer, head)
				if len(k) != 2 || len(v) != 2 {
					t.Fatalf("%d and %d blocks for 65 positions, expected 2", len(k), len(v))
				}
				for i := range k {
					for part, b := range []kernel.Block{k[i], v[i]} {
						wantK, wantN := shape.HeadDim, BlockSize
						if part == 1 {
							wantK, wantN = BlockSize, shape.HeadDim
						}
						if b.Mode != mode || b.K != wantK || b.N != wantN {
							t.Fatalf("part %d: mode %v, K %d, N %d; expected %v, %d, %d", part, b.Mode, b.K, b.N, mode, wantK, wantN)
						}
						n, first := len(b.B), ""
						if mode == kernel.F32 {
							n = len(b.F)
							first = fmt.Sprintf("%p", &b.F[0])
						} else {
							first = fmt.Sprintf("%p", &b.B[0])
						}
						if n != BlockSize*shape.HeadDim {
							t.Fatalf("%d elements, expected %d", n, BlockSize*shape.HeadDim)
						}
						if seen[first] {
							t.Fatalf("layer %d head %d block %d part %d shares its memory", layer, head, i, part)
						}
						seen[first] = true
					}
				}
			}
		}
	}
}

// TestReusedBlocksAreZero: what an earlier sequence left must not be seen, NaN least of all.
func TestReusedBlocksAreZero(t *testing.T) {
	p := pool(t, tiny, 1)
	s := p.NewSequence()
	if err := s.Grow(10); err != nil {
		t.Fatal(err)
	}
	k, v := s.Blocks(1, 2)
	for i := range k[0].B {
		k[0].B[i], v[0].B[i] = 0x7fc0, 0x7fc0 // NaN
	}
	s.Free()
	s = p.NewSequence()
	if err := s.Grow(1); err != nil {
		t.Fatal(err)
	}
	for layer := range tiny.Layers {
		for head := range tiny.KVHeads {
			k, v := s.Blocks(layer, head)
			for i := range k[0].B {
				if k[0].B[i] != 0 || v[0].B[i] != 0 {
					t.Fatalf("layer %d head %d: element %d of a reused block is not zero", layer, head, i)
				}
			}
		}
	}
	if p.Bytes() != tiny.BlockBytes() {
		t.Errorf("pool took %d bytes, expected one block of %d", p.Bytes(), tiny.BlockBytes())
	}
}

func TestFullPoolTakesNothing(t *testing.T) {
	p := pool(t, tiny, 3)
	a, b := p.NewSequence(), p.NewSequence()
	if err := a.Grow(65); err != nil {
		t.Fatal(err)
	}
	if err := b.Grow(65); !errors.Is(err, ErrFull) {
		t.Fatalf("grow beyond the budget: %v, expected ErrFull", err)
	}
	if p.Free() != 1 || p.Used() != 2 {
		t.Fatalf("%d free and %d used after a refused grow, expected 1 and 2", p.Free(), p.Used())
	}
	a.Free()
	if err := b.Grow(130); err != nil {
		t.Fatal(err)
	}
}

func TestForkSharesFullBlocks(t *testing.T) {
	p := pool(t, tiny, 4)
	a := p.NewSequence()
	if err := a.Grow(100); err != nil {
		t.Fatal(err)
	}
	a.Advance(100)
	b, err := a.Fork(64)
	if err != nil {
		t.Fatal(err)
	}
	ka, _ := a.Blocks(1, 1)
	kb, _ := b.Blocks(1, 1)
	if &ka[0].B[0] != &kb[0].B[0] {
		t.Error("the first block is not shared")
	}
	if err := b.Grow(1); err != nil {
		t.Fatal(err)
	}
	kb, _ = b.Blocks(1, 1)
	if &ka[1].B[0] == &kb[1].B[0] {
		t.Error("the second block is shared")
	}
	a.Free()
	if p.Used() != 2 {
		t.Errorf("%d blocks used, expected 2: the shared one and the fork's own", p.Used())
	}
	b.Free()
	if p.Used() != 0 {
		t.Errorf("%d blocks used after both are freed", p.Used())
	}
	if _, err := a.Fork(64); err == nil {
		t.Error("an empty sequence was forked")
	}
}

// TestBooksBalance runs random operations and checks the pool's account after each.
func TestBooksBalance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, err := NewPool(tiny, 9*tiny.BlockBytes())
		if err != nil {
			t.Fatal(err)
		}
		var live []*Sequence
		for range rapid.IntRange(1, 60).Draw(t, "operations") {
			switch rapid.IntRange(0, 3).Draw(t, "operation") {
			case 0:
				live = append(live, p.NewSequence())
			case 1:
				if len(live) > 0 {
					s := live[rapid.IntRange(0, len(live)-1).Draw(t, "which")]
					n := rapid.IntRange(0, 200).Draw(t, "n")
					lacks, free := s.Lacks(n), p.Free()
					err := s.Grow(n)
					if (err != nil) != (lacks > free) {
						t.Fatalf("grow by %d needing %d of %d free blocks: %v", n, lacks, free, err)
					}
					if err == nil {
						s.Advance(n)
					}
				}
			case 2:
				if len(live) > 0 {
					i := rapid.IntRange(0, len(live)-1).Draw(t, "which")
					live[i].Free()
					live = append(live[:i], live[i+1:]...)
				}
			case 3:
				if len(live) > 0 {
					s := live[rapid.IntRange(0, len(live)-1).Draw(t, "which")]
					f, err := s.Fork(s.Len() / BlockSize * BlockSize)
					if err != nil {
						t.Fatal(err)
					}
					live = append(live, f)
				}
			}
			held := map[*block]int{}
			for _, s := range live {
				if BlocksFor(s.Len()) > len(s.blocks) {
					t.Fatalf("%d positions in %d blocks", s.Len(), len(s.blocks))
				}
				for _, b := range s.blocks {
					held[b]++
				}
			}
			for b, n := range held {
				if b.refs != n {
					t.Fatalf("a block counts %d references, %d sequences hold it", b.refs, n)
				}
			}
			if p.Used() != len(held) || p.Used()+p.Free() != p.Limit() {
				t.Fatalf("%d used, %d free of %d; %d are held", p.Used(), p.Free(), p.Limit(), len(held))
			}
		}
	})
}

func TestNewPoolRefuses(t *testing.T) {
	if _, err := NewPool(tiny, tiny.BlockBytes()-1); err == nil {
		t.Error("a budget below one block was accepted")
	}
	if _, err := NewPool(Shape{Layers: 1, KVHeads: 1, HeadDim: 5}, 1<<20); err == nil {
		t.Error("an odd head size was accepted")
	}
}

// TestTruncate: what is forgotten leaves its blocks as room, and is written anew.
func TestTruncate(t *testing.T) {
	p := pool(t, tiny, 3)
	s := p.NewSequence()
	if err := s.Grow(66); err != nil {
		t.Fatal(err)
	}
	s.Advance(66)
	s.Truncate(63)
	if s.Len() != 63 || p.Used() != 2 || s.Lacks(65) != 0 || s.Lacks(66) != 1 {
		t.Fatalf("%d positions in %d blocks, %d lack for 66 more; expected 63 in 2, and 1", s.Len(), p.Used(), s.Lacks(66))
	}
	if err := s.Grow(66); err != nil {
		t.Fatal(err)
	}
	s.Advance(66)
	s.Free()
	if p.Used() != 0 {
		t.Errorf("%d blocks used at the end", p.Used())
	}
	defer func() {
		if recover() == nil {
			t.Error("a sequence was truncated to more than it holds")
		}
	}()
	s.Truncate(1)
}
