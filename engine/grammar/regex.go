package grammar

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"unicode"
)

// An expression is a regular expression as an automaton over characters: each
// state takes one character of its class.
type expression struct {
	start  follow
	states []charState
}

// charState takes a character and then does what next says.
type charState struct {
	class class
	next  follow
}

// follow is what may come: one of some states, or the end.
type follow struct {
	to  []int32
	end bool
}

// maxEdges bounds an expression: states and the ways between them.
const maxEdges = 100_000

// maxExpression is how long an expression may be, in bytes.
const maxExpression = 16 << 10

// parseWhole reads an expression that is to match the whole text. "^" at the
// beginning and "$" at the end change nothing.
func parseWhole(expr string) (*expression, error) { return parseExpression("(?:"+expr+")", expr) }

// parseWithin reads an expression that is to match somewhere in the text, as the
// patterns of JSON schemas do.
func parseWithin(expr string) (*expression, error) {
	return parseExpression("(?s:.*)(?:"+expr+")(?s:.*)", expr)
}

func parseExpression(src, shown string) (*expression, error) {
	if len(shown) > maxExpression {
		return nil, fmt.Errorf("an expression of %d bytes; at most %d are read", len(shown), maxExpression)
	}
	if _, err := syntax.Parse(shown, syntax.Perl); err != nil {
		return nil, fmt.Errorf("%w (expressions are RE2's: no look-around, no back-references)", err)
	}
	re, err := syntax.Parse(src, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("%w (expressions are RE2's: no look-around, no back-references)", err)
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return nil, fmt.Errorf("%q: %w", shown, err)
	}
	e, err := fromProg(prog)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", shown, err)
	}
	if e = e.trim(); e == nil {
		return nil, fmt.Errorf("%q matches no text: %w", shown, errUnmet)
	}
	return e, nil
}

// progReader turns the instructions of package syntax into states.
type progReader struct {
	prog  *syntax.Prog
	state map[uint32]int32 // by instruction that takes a character
	order []uint32
	edges int
	err   error
}

func fromProg(prog *syntax.Prog) (*expression, error) {
	r := &progReader{prog: prog, state: map[uint32]int32{}}
	e := &expression{start: r.follow(uint32(prog.Start), true)}
	for i := 0; i < len(r.order); i++ {
		in := &prog.Inst[r.order[i]]
		e.states = append(e.states, charState{class: classOf(in), next: r.follow(in.Out, false)})
		if r.err != nil {
			return nil, r.err
		}
	}
	return e, r.err
}

// follow gathers what can come at pc without taking a character.
func (r *progReader) follow(pc uint32, atStart bool) follow {
	var f follow
	type place struct {
		pc    uint32
		ended bool // after "$": no character may come
	}
	seen := map[place]bool{}
	stack := []place{{pc, false}}
	for len(stack) > 0 && r.err == nil {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[p] {
			continue
		}
		seen[p] = true
		if r.edges++; r.edges > maxEdges {
			r.err = errTooLarge
		}
		in := &r.prog.Inst[p.pc]
		switch in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			stack = append(stack, place{in.Arg, p.ended}, place{in.Out, p.ended})
		case syntax.InstCapture, syntax.InstNop:
			stack = append(stack, place{in.Out, p.ended})
		case syntax.InstEmptyWidth:
			switch op := syntax.EmptyOp(in.Arg); op {
			case syntax.EmptyBeginText:
				if atStart {
					stack = append(stack, place{in.Out, p.ended})
				}
			case syntax.EmptyEndText:
				stack = append(stack, place{in.Out, true})
			default:
				r.err = fmt.Errorf("word boundaries and the beginnings of lines are not supported: %w", errUnsupported)
			}
		case syntax.InstMatch:
			f.end = true
		case syntax.InstFail:
		default:
			if !p.ended {
				f.to = append(f.to, r.number(p.pc))
			}
		}
	}
	slices.Sort(f.to)
	return f
}

func (r *progReader) number(pc uint32) int32 {
	n, ok := r.state[pc]
	if !ok {
		n = int32(len(r.order))
		r.state[pc] = n
		r.order = append(r.order, pc)
	}
	return n
}

// classOf returns the characters that an instruction takes.
func classOf(in *syntax.Inst) class {
	var c class
	switch {
	case in.Op == syntax.InstRuneAny:
		c = anyChar
	case in.Op == syntax.InstRuneAnyNotNL:
		c = class{0, '\n' - 1, '\n' + 1, unicode.MaxRune}
	case len(in.Rune) == 1:
		c = class{in.Rune[0], in.Rune[0]}
		if syntax.Flags(in.Arg)&syntax.FoldCase != 0 {
			all := []rune{in.Rune[0]}
			for r := unicode.SimpleFold(in.Rune[0]); r != in.Rune[0]; r = unicode.SimpleFold(r) {
				all = append(all, r)
			}
			slices.Sort(all)
			c = nil
			for _, r := range all {
				c = append(c, r, r)
			}
		}
	default:
		c = class(in.Rune)
	}
	return meet(c, anyChar)
}

// expr takes a text that e matches, each character as spell writes it.
func (b *builder) expr(e *expression, spell func(class) part) part {
	return func(next int32) int32 {
		follows := make([]int32, len(e.states))
		for i := range follows {
			follows[i] = b.add(inst{op: opSplit})
		}
		begin := make([]int32, len(e.states))
		for i, s := range e.states {
			begin[i] = spell(s.class)(follows[i])
		}
		if b.over {
			return 0
		}
		outs := func(f follow) []int32 {
			out := make([]int32, 0, len(f.to)+1)
			for _, s := range f.to {
				out = append(out, begin[s])
			}
			if f.end {
				out = append(out, next)
			}
			return out
		}
		for i, s := range e.states {
			b.insts[follows[i]].outs = outs(s.next)
		}
		return b.add(inst{op: opSplit, outs: outs(e.start)})
	}
}
