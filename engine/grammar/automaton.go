package grammar

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sync"
)

// maxConfigs bounds what a text may be at one place, maxWork how much may be
// looked at for one mask.
const (
	maxConfigs = 20_000
	maxWork    = 4_000_000
)

// maxAutomatonBytes bounds what an automaton keeps. Beyond it everything is made
// anew, as texts reach it.
const maxAutomatonBytes = 24 << 20

// Automaton is a grammar over a vocabulary. Completions share one: what one has
// reached the others find made. It may be used from several goroutines.
type Automaton struct {
	p *program
	v *Vocabulary

	mu        sync.Mutex
	states    map[string]*state
	frames    map[frameKey]*frame
	nextFrame uint32
	bytes     int
	start     *state
	work      int // configurations looked at since the last step or mask began

	// Scratch.
	set   []config
	seen  map[config]struct{}
	stack []config
	key   []byte
	path  []*state // of a walk through the vocabulary
}

// state is one set of places.
type state struct {
	configs []config // sorted; without the end
	end     bool     // the text may end
	next    []*state // by class of bytes; nil = not made yet, a.dead = nothing
	mask    []uint64 // nil = not made yet
	near    []uint64 // the tokens whose pieces are not longer than near
	stays   int8     // whether every plain byte leads back here: 1 yes, -1 no, 0 not known
	speaks  int8     // whether the text may end here or some token may follow; as stays
	far     *state   // the one whose near this one shares
}

// dead is where no text can be.
var dead = &state{}

// New joins a grammar to a vocabulary. It fails when the vocabulary cannot spell
// any text of the grammar.
func New(g *Grammar, v *Vocabulary) (*Automaton, error) {
	a := &Automaton{p: g.p, v: v, seen: map[config]struct{}{}}
	a.clear()
	var err error
	a.start, err = a.stateFrom([]config{{a.p.entry, nil}})
	if err != nil {
		return nil, err
	}
	mask, err := a.maskOf(a.start)
	if err != nil {
		return nil, err
	}
	for _, w := range mask {
		if w != 0 {
			return a, nil
		}
	}
	return nil, errUnspeakable
}

// Bytes is what the automaton holds in memory, about.
func (a *Automaton) Bytes() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.bytes + 48*len(a.p.insts)
}

// clear forgets what was made. States that matchers hold stay valid; what they
// lead to is made again.
func (a *Automaton) clear() {
	for _, s := range a.states {
		s.next, s.mask, s.near, s.far = nil, nil, nil, nil
	}
	a.states = map[string]*state{}
	a.frames = map[frameKey]*frame{}
	a.bytes = 0
}

// stateFrom makes the state of all places that can be reached from the given
// ones without a byte. It returns dead for none.
func (a *Automaton) stateFrom(from []config) (*state, error) {
	end, err := a.close(from)
	if err != nil {
		return nil, err
	}
	return a.intern(end), nil
}

// close follows branches, calls and loops from the given places to instructions
// that take a byte, which it leaves in a.set.
func (a *Automaton) close(from []config) (end bool, err error) {
	clear(a.seen)
	a.set = a.set[:0]
	a.stack = append(a.stack[:0], from...)
	for len(a.stack) > 0 {
		c := a.stack[len(a.stack)-1]
		a.stack = a.stack[:len(a.stack)-1]
		// There must be a way to the end that the depth leaves room for.
		if depthOf(c.stack)+a.p.need[c.pc] > a.p.depth {
			continue
		}
		if _, ok := a.seen[c]; ok {
			continue
		}
		a.seen[c] = struct{}{}
		if a.work++; len(a.seen) > maxConfigs || a.work > maxWork {
			return false, ErrTooComplex
		}
		in := &a.p.insts[c.pc]
		switch in.op {
		case opBytes:
			a.set = append(a.set, c)
		case opMatch:
			end = true
		case opSplit:
			for _, o := range in.outs {
				a.stack = append(a.stack, config{o, c.stack})
			}
		case opCall:
			a.stack = append(a.stack, config{a.p.rules[in.body], a.push(c.stack, c.pc, 0)})
		case opRet:
			a.stack = append(a.stack, config{a.p.insts[c.stack.at].out, c.stack.below})
		case opEnter:
			a.stack = append(a.stack, config{in.out, a.push(c.stack, in.out, 0)})
		case opHead:
			if c.stack.count < in.max {
				a.stack = append(a.stack, config{in.body, c.stack})
			}
			if c.stack.count >= in.min {
				a.stack = append(a.stack, config{in.out, c.stack.below})
			}
		case opNext:
			n := c.stack.count + 1
			if head := &a.p.insts[in.out]; head.max == unlimited {
				n = min(n, head.min) // more is alike
			}
			a.stack = append(a.stack, config{in.out, a.push(c.stack.below, in.out, n)})
		}
	}
	return end, nil
}

// intern returns the state of the places in a.set.
func (a *Automaton) intern(end bool) *state {
	if len(a.set) == 0 && !end {
		return dead
	}
	slices.SortFunc(a.set, func(x, y config) int {
		if x.pc != y.pc {
			return cmp.Compare(x.pc, y.pc)
		}
		return cmp.Compare(frameID(x.stack), frameID(y.stack))
	})
	a.key = a.key[:0]
	for _, c := range a.set {
		a.key = binary.LittleEndian.AppendUint32(a.key, uint32(c.pc))
		a.key = binary.LittleEndian.AppendUint32(a.key, frameID(c.stack))
	}
	if end {
		a.key = append(a.key, 1)
	}
	if s, ok := a.states[string(a.key)]; ok {
		return s
	}
	s := &state{configs: slices.Clone(a.set), end: end}
	a.states[string(a.key)] = s
	a.bytes += 200 + 3*len(a.key)
	return s
}

func frameID(f *frame) uint32 {
	if f == nil {
		return 0
	}
	return f.id + 1
}

// step returns the state behind s and a byte of class c.
func (a *Automaton) step(s *state, c byte) (*state, error) {
	if s.next != nil {
		if n := s.next[c]; n != nil {
			return n, nil
		}
	}
	if s == dead {
		return dead, nil
	}
	b := a.p.sample[c]
	var buf [64]config
	from := buf[:0]
	for _, x := range s.configs {
		if in := &a.p.insts[x.pc]; in.lo <= b && b <= in.hi {
			from = append(from, config{in.out, x.stack})
		}
	}
	a.work += len(s.configs)
	n, err := a.stateFrom(from)
	if err != nil {
		return nil, err
	}
	if s.next == nil {
		s.next = make([]*state, a.p.classes)
		a.bytes += 8 * a.p.classes
	}
	s.next[c] = n
	return n, nil
}

// room makes room for what comes, before a step or a mask begins: what is made
// on the way stays until it is done.
func (a *Automaton) room() {
	a.work = 0
	if a.bytes > maxAutomatonBytes {
		a.clear()
	}
}

// loops says whether a loop counts under s.
func (s *state) loops() bool {
	return slices.ContainsFunc(s.configs, func(c config) bool { return c.stack != nil && c.stack.loops })
}

// farOf returns the state that s shares what short tokens may come with: the one
// whose counters are as far from their bounds as those can see.
func (a *Automaton) farOf(s *state) *state {
	if s.far == nil {
		a.set = a.set[:0]
		for _, c := range s.configs {
			a.set = append(a.set, config{c.pc, a.far(c.stack, near)})
		}
		a.set = dedupe(a.set)
		s.far = a.intern(s.end)
	}
	return s.far
}

// dedupe leaves each place once.
func dedupe(set []config) []config {
	seen := make(map[config]struct{}, len(set))
	out := set[:0]
	for _, c := range set {
		if _, ok := seen[c]; !ok {
			seen[c] = struct{}{}
			out = append(out, c)
		}
	}
	return out
}
