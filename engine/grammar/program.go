package grammar

import "math"

// opcode is what one instruction does.
type opcode uint8

const (
	opBytes opcode = iota // take a byte from lo to hi, go to out
	opSplit               // go to each of outs
	opCall                // enter rule lo..: push out, go to the rule's entry
	opRet                 // pop a place and go there
	opEnter               // push a counter at 0 for loop rule, go to out (its head)
	opHead                // go round (body) while the counter is below max; leave (out) from min on
	opNext                // count one, go to out (the head)
	opMatch               // the text may end
)

// inst is one instruction.
type inst struct {
	op     opcode
	lo, hi byte
	out    int32
	body   int32   // opHead: the loop's body; opCall: the rule
	min    int32   // opHead
	max    int32   // opHead; unlimited = no upper bound
	outs   []int32 // opSplit
}

const unlimited = math.MaxInt32

// program is a grammar as instructions over bytes.
type program struct {
	insts []inst
	entry int32
	rules []int32 // entry of each rule
	need  []int32 // by instruction: calls that must nest on the shortest way to the end of its rule; never = there is no way
	depth int32   // of nested calls that a text may have

	classes int       // bytes that no instruction tells apart are one class
	class   [256]byte // of each byte
	sample  []byte    // one byte of each class
	single  []bool    // whether the class is one byte alone
}

const never = math.MaxInt32 / 2

// maxInsts bounds a program: a schema or expression that needs more is refused.
const maxInsts = 200_000

// part writes instructions that lead to next and returns where they begin.
type part func(next int32) int32

// builder writes a program from its end to its beginning: each part is told what
// follows it. Places that are not known yet are splits, filled in later.
type builder struct {
	insts []inst
	rules []int32       // entry, -1 = not written yet
	todo  []pendingRule // rules that are called and not written yet
	named map[string]int32
	over  bool // maxInsts was reached
}

type pendingRule struct {
	rule int32
	body func() part
}

func newBuilder() *builder { return &builder{named: map[string]int32{}} }

func (b *builder) add(in inst) int32 {
	if len(b.insts) >= maxInsts {
		b.over = true
		return 0
	}
	b.insts = append(b.insts, in)
	return int32(len(b.insts) - 1)
}

// fail is a place without a way on.
func (b *builder) fail() int32 { return b.add(inst{op: opSplit}) }

func (b *builder) split(outs ...int32) int32 {
	if len(outs) == 1 {
		return outs[0]
	}
	return b.add(inst{op: opSplit, outs: outs})
}

func (b *builder) bytes(lo, hi byte, next int32) int32 {
	return b.add(inst{op: opBytes, lo: lo, hi: hi, out: next})
}

// lit takes the bytes of s.
func (b *builder) lit(s string) part {
	return func(next int32) int32 {
		for i := len(s) - 1; i >= 0; i-- {
			next = b.bytes(s[i], s[i], next)
		}
		return next
	}
}

// seq takes one part after the other.
func (b *builder) seq(parts ...part) part {
	return func(next int32) int32 {
		for i := len(parts) - 1; i >= 0; i-- {
			next = parts[i](next)
		}
		return next
	}
}

// alt takes any of the parts; of none it takes nothing, ever.
func (b *builder) alt(parts ...part) part {
	return func(next int32) int32 {
		outs := make([]int32, len(parts))
		for i, p := range parts {
			outs[i] = p(next)
		}
		if len(outs) == 0 {
			return b.fail()
		}
		return b.split(outs...)
	}
}

// opt takes the part or nothing.
func (b *builder) opt(p part) part {
	return func(next int32) int32 { return b.split(p(next), next) }
}

// loop takes p, which must not be able to take nothing, lo to hi times.
func (b *builder) loop(lo, hi int32, p part) part {
	return func(next int32) int32 {
		switch {
		case hi == 0:
			return next
		case lo == 1 && hi == 1:
			return p(next)
		case lo == 0 && hi == 1:
			return b.split(p(next), next)
		case lo == 0 && hi == unlimited:
			head := b.add(inst{op: opSplit})
			body := p(head)
			b.insts[head].outs = []int32{body, next}
			return head
		case lo == 1 && hi == unlimited:
			head := b.add(inst{op: opSplit})
			body := p(head)
			b.insts[head].outs = []int32{body, next}
			return body
		}
		head := b.add(inst{op: opHead, min: lo, max: hi, out: next})
		body := p(b.add(inst{op: opNext, out: head}))
		b.insts[head].body = body
		return b.add(inst{op: opEnter, out: head})
	}
}

// call takes the rule of that name; body is asked for when it is first called,
// and run when the parts under way are written.
func (b *builder) call(name string, body func() part) part {
	rule, ok := b.named[name]
	if !ok {
		rule = int32(len(b.rules))
		b.named[name] = rule
		b.rules = append(b.rules, -1)
		b.todo = append(b.todo, pendingRule{rule, body})
	}
	return func(next int32) int32 { return b.add(inst{op: opCall, body: rule, out: next}) }
}

// finish writes the text as a whole and what it calls.
func (b *builder) finish(whole part, depth int32) (*program, error) {
	entry := whole(b.add(inst{op: opMatch}))
	for len(b.todo) > 0 && !b.over {
		t := b.todo[0]
		b.todo = b.todo[1:]
		b.rules[t.rule] = t.body()(b.add(inst{op: opRet}))
	}
	if b.over {
		return nil, errTooLarge
	}
	p := &program{insts: b.insts, rules: b.rules, entry: entry}
	p.setNeed()
	// What a schema without recursion nests is its own matter.
	p.depth = depth
	if n := p.need[entry]; n != never && n > depth/2 {
		p.depth = n + depth
	}
	p.setClasses()
	return p, nil
}

// setNeed computes need: the least values that satisfy what each instruction
// says of those behind it.
func (p *program) setNeed() {
	p.need = make([]int32, len(p.insts))
	for i := range p.need {
		p.need[i] = never
	}
	for changed := true; changed; {
		changed = false
		// What follows was mostly written before, so one round does most of it.
		for i := range p.insts {
			if n := p.needOf(&p.insts[i]); n < p.need[i] {
				p.need[i] = n
				changed = true
			}
		}
	}
}

func (p *program) needOf(in *inst) int32 {
	switch in.op {
	case opMatch, opRet:
		return 0
	case opSplit:
		n := int32(never)
		for _, o := range in.outs {
			n = min(n, p.need[o])
		}
		return n
	case opCall:
		return max(min(never, 1+p.need[p.rules[in.body]]), p.need[in.out])
	case opHead:
		if in.min > 0 {
			return max(p.need[in.body], p.need[in.out])
		}
		return p.need[in.out]
	case opNext:
		// What the body needs was there when the loop was entered: nothing in
		// between changes the depth.
		return p.need[p.insts[in.out].out]
	}
	return p.need[in.out]
}

// setClasses finds the bytes that all instructions treat alike.
func (p *program) setClasses() {
	var starts [257]bool
	starts[0] = true
	for i := range p.insts {
		if in := &p.insts[i]; in.op == opBytes {
			starts[in.lo], starts[int(in.hi)+1] = true, true
		}
	}
	for c := 0; c < 256; c++ {
		if starts[c] {
			p.sample = append(p.sample, byte(c))
			p.single = append(p.single, starts[c+1] || c == 255)
		}
		p.class[c] = byte(len(p.sample) - 1)
	}
	p.classes = len(p.sample)
}
