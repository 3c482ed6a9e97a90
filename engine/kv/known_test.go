package kv

import (
	"crypto/sha256"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// content is a sequence whose blocks hold known letters: block i of the text.
type content struct {
	*Sequence
	text []byte // a letter a block
}

func (c *content) key(i int) Key { return sha256.Sum256(c.text[:i+1]) }

// write marks block i as computed.
func (c *content) write(i int) {
	k, v := c.Blocks(1, 2)
	k[i].B[0], v[i].B[0] = uint16(c.key(i)[0])+1, uint16(c.key(i)[1])+1
}

// reads reports whether block i holds what write left there.
func (c *content) reads(i int) bool {
	k, v := c.Blocks(1, 2)
	return k[i].B[0] == uint16(c.key(i)[0])+1 && v[i].B[0] == uint16(c.key(i)[1])+1
}

// compute fills and publishes the blocks of the text that are not held yet.
func (c *content) compute() error {
	from := len(c.blocks)
	n := len(c.text)*BlockSize - c.Len()
	if err := c.Grow(n); err != nil {
		return err
	}
	c.Advance(n)
	for i := range c.text {
		if i >= from {
			c.write(i)
		}
		c.Publish(i, c.key(i))
	}
	return nil
}

// adopt takes the known blocks that the text begins with.
func (c *content) adopt() (n int) {
	for c.Len()/BlockSize < len(c.text) && c.Adopt(c.key(c.Len()/BlockSize)) {
		n++
	}
	return n
}

func written(t *testing.T, p *Pool, text string) *content {
	t.Helper()
	c := &content{p.NewSequence(), []byte(text)}
	c.adopt()
	if err := c.compute(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestKnownBlocksAreKeptAndAdopted(t *testing.T) {
	p := pool(t, tiny, 8)
	a := written(t, p, "abc")
	b := &content{p.NewSequence(), []byte("abx")}
	if n := b.adopt(); n != 2 || b.Len() != 2*BlockSize || p.Used() != 3 || !b.reads(1) {
		t.Fatalf("adopted %d blocks, %d positions; %d blocks used; expected 2 blocks of three", n, b.Len(), p.Used())
	}
	a.Free()
	if p.Used() != 2 || p.Kept() != 1 || p.Free() != 6 {
		t.Fatalf("%d used, %d kept, %d free after the first is gone; expected 2, 1, 6", p.Used(), p.Kept(), p.Free())
	}
	b.Free()
	if p.Used() != 0 || p.Kept() != 3 || p.Free() != 8 {
		t.Fatalf("%d used, %d kept, %d free after both are gone; expected 0, 3, 8", p.Used(), p.Kept(), p.Free())
	}
	c := &content{p.NewSequence(), []byte("abc")}
	if known, idle := p.Known(c.key(2)); !known || !idle {
		t.Fatalf("known %v, idle %v; expected both", known, idle)
	}
	if n := c.adopt(); n != 3 || p.Used() != 3 || p.Kept() != 0 {
		t.Fatalf("adopted %d of three kept blocks", n)
	}
	c.Free()
	p.Forget()
	if p.Kept() != 0 || p.Free() != 8 || c.adopt() != 0 {
		t.Fatal("forgotten blocks are still known")
	}
}

// TestKeptBlocksGiveWay: the least recently used go first, and of one sequence
// the last blocks before those that lead to them.
func TestKeptBlocksGiveWay(t *testing.T) {
	p := pool(t, tiny, 4)
	written(t, p, "ab").Free()
	written(t, p, "xy").Free()
	old := &content{p.NewSequence(), []byte("ab")}
	old.adopt()
	old.Free() // used again: xy is the oldest now
	s := p.NewSequence()
	if err := s.Grow(BlockSize); err != nil {
		t.Fatal(err)
	}
	x := &content{p.NewSequence(), []byte("xy")}
	if n := x.adopt(); n != 1 {
		t.Fatalf("%d blocks of xy are known, expected the first", n)
	}
	x.Free()
	if n := old.adopt(); n != 2 {
		t.Fatalf("%d blocks of ab are known, expected both", n)
	}
	if err := s.Grow(BlockSize * 3); !errors.Is(err, ErrFull) {
		t.Fatalf("grow into blocks that are in use: %v, expected ErrFull", err)
	}
}

// TestAdoptInTheMiddleOfABlock: what another sequence has completed takes the
// place of a block that is half written.
func TestAdoptInTheMiddleOfABlock(t *testing.T) {
	p := pool(t, tiny, 4)
	s := &content{p.NewSequence(), []byte("a")}
	if err := s.Grow(BlockSize + 1); err != nil {
		t.Fatal(err)
	}
	s.Advance(10)
	written(t, p, "a").Free()
	if s.adopt() != 1 || s.Len() != BlockSize || !s.reads(0) || p.Used() != 2 || p.Kept() != 0 {
		t.Fatalf("%d positions held, %d blocks used, %d kept", s.Len(), p.Used(), p.Kept())
	}
	s.Free()
	if p.Used() != 0 || p.Kept() != 1 {
		t.Fatalf("%d blocks used, %d kept at the end; expected 0 and 1", p.Used(), p.Kept())
	}
}

// TestPublishedTwice: two that computed the same go on with one block.
func TestPublishedTwice(t *testing.T) {
	p := pool(t, tiny, 4)
	a, b := &content{p.NewSequence(), []byte("a")}, &content{p.NewSequence(), []byte("a")}
	for _, c := range []*content{a, b} {
		if err := c.compute(); err != nil {
			t.Fatal(err)
		}
	}
	if p.Used() != 1 || a.blocks[0] != b.blocks[0] || !b.reads(0) {
		t.Fatalf("%d blocks used, expected one that both hold", p.Used())
	}
}

// TestKnownBooksBalance runs random sequences over few letters, so that they share,
// and checks the pool's account and what the blocks hold after each operation.
func TestKnownBooksBalance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, err := NewPool(tiny, 7*tiny.BlockBytes())
		if err != nil {
			t.Fatal(err)
		}
		var live []*content
		for range rapid.IntRange(1, 60).Draw(t, "operations") {
			switch op := rapid.IntRange(0, 5).Draw(t, "operation"); {
			case op <= 1:
				c := &content{p.NewSequence(), []byte(rapid.StringOfN(rapid.SampledFrom([]rune("ab")), 1, 4, -1).Draw(t, "text"))}
				if rapid.Bool().Draw(t, "adopts") {
					c.adopt()
				}
				if c.compute() != nil {
					c.Free()
					continue
				}
				live = append(live, c)
			case op <= 4 && len(live) > 0:
				i := rapid.IntRange(0, len(live)-1).Draw(t, "which")
				live[i].Free()
				live = append(live[:i], live[i+1:]...)
			case op == 5:
				p.Forget()
			}
			balanced(t, p, live)
		}
		for _, c := range live {
			c.Free()
		}
		balanced(t, p, nil)
	})
}

// balanced checks the pool's books against the sequences that live.
func balanced(t *rapid.T, p *Pool, live []*content) {
	held := map[*block]int{}
	for _, c := range live {
		for i, b := range c.blocks {
			held[b]++
			if !c.reads(i) || b.key != c.key(i) || p.known[b.key] != b {
				t.Fatalf("block %d of %q is not what it is known as", i, c.text)
			}
		}
	}
	for b, n := range held {
		if b.refs != n {
			t.Fatalf("a block counts %d references, %d sequences hold it", b.refs, n)
		}
	}
	kept := 0
	for b := p.kept.head.next; b != nil && b != &p.kept.head; b = b.next {
		if kept++; b.refs != 0 || !b.named || p.known[b.key] != b {
			t.Fatalf("a kept block has %d references, named %v", b.refs, b.named)
		}
	}
	if kept != p.Kept() || len(p.known) != kept+len(held) {
		t.Fatalf("%d kept, %d known; counted %d and %d", p.Kept(), len(p.known), kept, kept+len(held))
	}
	if p.Used() != len(held) || p.Used()+p.Free() != p.Limit() || p.made > p.Limit() {
		t.Fatalf("%d used, %d free of %d; %d are held", p.Used(), p.Free(), p.Limit(), len(held))
	}
}
