package grammar

// frame is the top of a stack: a place to return to, or a loop's counter. Stacks
// share what is below. Two stacks of one automaton that are equal are one, so
// pointers are compared.
type frame struct {
	below *frame
	at    int32 // opCall or opHead that made it
	count int32 // rounds of the loop; 0 for calls
	depth int32 // calls in the stack, this one included
	id    uint32
	loops bool // there is a counter in the stack
}

type frameKey struct {
	below     *frame
	at, count int32
}

// config is one place where the text may be: an instruction that takes a byte,
// or the end, and the stack under it.
type config struct {
	pc    int32
	stack *frame
}

func (a *Automaton) push(below *frame, at, count int32) *frame {
	key := frameKey{below, at, count}
	if f, ok := a.frames[key]; ok {
		return f
	}
	f := &frame{below: below, at: at, count: count, id: a.nextFrame}
	a.nextFrame++
	if below != nil {
		f.depth, f.loops = below.depth, below.loops
	}
	if a.p.insts[at].op == opHead {
		f.loops = true
	} else {
		f.depth++
	}
	a.frames[key] = f
	a.bytes += 96
	return f
}

func depthOf(f *frame) int32 {
	if f == nil {
		return 0
	}
	return f.depth
}

// far returns the stack in which counters that are far from their bounds stand
// at one value: within reach bytes both behave alike.
func (a *Automaton) far(f *frame, reach int32) *frame {
	if f == nil || !f.loops {
		return f
	}
	below := a.far(f.below, reach)
	in := &a.p.insts[f.at]
	count := f.count
	if in.op == opHead {
		switch {
		case count < in.min && in.min-count > reach:
			count = in.min - reach - 1
		case count >= in.min && in.max != unlimited && in.max-count > reach:
			count = in.max - reach - 1
		}
	}
	if below == f.below && count == f.count {
		return f
	}
	return a.push(below, f.at, count)
}
