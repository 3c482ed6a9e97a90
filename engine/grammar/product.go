package grammar

// maxProduct bounds the states of what two expressions match both.
const maxProduct = 20_000

// trim leaves out the states that nothing leads to or that lead nowhere. It
// returns nil when no text matches.
func (e *expression) trim() *expression {
	back := make([][]int32, len(e.states)) // who leads here
	var reach []int32
	alive := make([]bool, len(e.states))
	for i, s := range e.states {
		for _, t := range s.next.to {
			back[t] = append(back[t], int32(i))
		}
		if s.next.end && len(s.class) > 0 {
			alive[i] = true
			reach = append(reach, int32(i))
		}
	}
	for len(reach) > 0 {
		s := reach[len(reach)-1]
		reach = reach[:len(reach)-1]
		for _, p := range back[s] {
			if !alive[p] && len(e.states[p].class) > 0 {
				alive[p] = true
				reach = append(reach, p)
			}
		}
	}
	number := make([]int32, len(e.states))
	for i := range number {
		number[i] = -1
	}
	var order []int32
	renamed := func(f follow) follow {
		g := follow{end: f.end}
		for _, s := range f.to {
			if !alive[s] {
				continue
			}
			if number[s] < 0 {
				number[s] = int32(len(order))
				order = append(order, s)
			}
			g.to = append(g.to, number[s])
		}
		return g
	}
	out := &expression{start: renamed(e.start)}
	for i := 0; i < len(order); i++ {
		s := e.states[order[i]]
		out.states = append(out.states, charState{s.class, renamed(s.next)})
	}
	if !out.start.end && len(out.start.to) == 0 {
		return nil
	}
	return out
}

// both returns the expression of the texts that a and b match; nil when there
// are none.
func both(a, b *expression) (*expression, error) {
	type pair struct{ a, b int32 }
	number := map[pair]int32{}
	var order []pair
	out := &expression{}
	edges := 0
	cross := func(f, g follow) (h follow) {
		h.end = f.end && g.end
		for _, s := range f.to {
			for _, t := range g.to {
				edges++
				p := pair{s, t}
				n, ok := number[p]
				if !ok {
					c := meet(a.states[s].class, b.states[t].class)
					if len(c) == 0 {
						continue
					}
					n = int32(len(order))
					number[p] = n
					order = append(order, p)
					out.states = append(out.states, charState{class: c})
				}
				h.to = append(h.to, n)
			}
		}
		return h
	}
	out.start = cross(a.start, b.start)
	for i := 0; i < len(order); i++ {
		p := order[i]
		h := cross(a.states[p.a].next, b.states[p.b].next)
		out.states[i].next = h
		if len(order) > maxProduct || edges > 10*maxEdges {
			return nil, errTooLarge
		}
	}
	return out.trim(), nil
}

// ofLength is the expression of all texts of lo to hi characters.
func ofLength(lo, hi int32) (*expression, error) {
	top := hi
	if hi == unlimited {
		top = max(lo, 1)
	}
	if top > maxProduct {
		return nil, errTooLarge
	}
	e := &expression{start: follow{end: lo == 0}}
	if hi != 0 {
		e.start.to = []int32{0}
	}
	for n := int32(1); n <= top; n++ {
		f := follow{end: n >= lo}
		switch {
		case n < top:
			f.to = []int32{n}
		case hi == unlimited:
			f.to = []int32{n - 1}
		}
		e.states = append(e.states, charState{anyChar, f})
	}
	return e, nil
}
