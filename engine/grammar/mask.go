package grammar

// pieces are those that a walk looks at.
type pieces uint8

const (
	allPieces pieces = iota
	nearPieces
	longPieces
)

// maskOf returns the tokens that may come in state s. The caller may not change
// it. Where loops count, pieces up to near are looked at in a state that many
// counts share, the few others in s itself.
func (a *Automaton) maskOf(s *state) ([]uint64, error) {
	if s.mask != nil {
		return s.mask, nil
	}
	mask := make([]uint64, a.v.words)
	rest := allPieces
	if s.loops() {
		shared, err := a.nearMask(a.farOf(s))
		if err != nil {
			return nil, err
		}
		copy(mask, shared)
		rest = longPieces
	}
	if err := a.walk(s, mask, rest); err != nil {
		return nil, err
	}
	if s.end {
		set(mask, a.v.stop)
	}
	s.mask = mask
	a.bytes += 8 * len(mask)
	return mask, nil
}

func (a *Automaton) nearMask(s *state) ([]uint64, error) {
	if s.near != nil {
		return s.near, nil
	}
	mask := make([]uint64, a.v.words)
	if err := a.walk(s, mask, nearPieces); err != nil {
		return nil, err
	}
	s.near = mask
	a.bytes += 8 * len(mask)
	return mask, nil
}

// walk goes with s through the vocabulary's tree and sets the bits of the tokens
// that may come.
func (a *Automaton) walk(s *state, mask []uint64, which pieces) error {
	v := a.v
	if n := int(v.longest) + 1; len(a.path) < n {
		a.path = make([]*state, n)
	}
	path, label, class := a.path, v.label, &a.p.class
	path[0] = s
	for n := 0; n < len(label); {
		depth := v.depth[n]
		if which == longPieces && !v.long[n] || which == nearPieces && depth >= near {
			n = int(v.past[n])
			continue
		}
		at := path[depth]
		c := class[label[n]]
		var to *state
		if at.next != nil {
			to = at.next[c]
		}
		if to == nil {
			var err error
			if to, err = a.step(at, c); err != nil {
				return err
			}
		}
		if to == dead {
			n = int(v.past[n])
			continue
		}
		if which == allPieces && v.plain[n] && a.stays(to) && (v.whole || a.speakable(to)) {
			set(mask, v.tokens[v.at[n]:v.at[v.past[n]]])
			n = int(v.past[n])
			continue
		}
		path[depth+1] = to
		if own := v.tokens[v.at[n]:v.at[n+1]]; len(own) > 0 && (which != longPieces || depth >= near) && (v.whole || a.speakable(to)) {
			set(mask, own)
		}
		n++
	}
	return nil
}

func set(mask []uint64, ids []int32) {
	for _, id := range ids {
		mask[id>>6] |= 1 << (id & 63)
	}
}

// stays says whether every plain byte leads back to s, so that what lies below in
// the vocabulary's tree need not be walked.
func (a *Automaton) stays(s *state) bool {
	if s.stays == 0 {
		s.stays = 1
		for b := byte(' '); b < 0x7F; b++ {
			if !plainByte(b) {
				continue
			}
			to, err := a.step(s, a.p.class[b])
			if err != nil || to != s {
				s.stays = -1
				break
			}
		}
	}
	return s.stays > 0
}

// speakable says whether the text may end in s or some token may follow: where
// the vocabulary lacks bytes, the beginning of a character may have no end.
func (a *Automaton) speakable(s *state) bool {
	if s.speaks == 0 {
		s.speaks = -1
		if s.end || a.goesOn(s) {
			s.speaks = 1
		}
	}
	return s.speaks > 0
}

// goesOn says whether some token may follow s.
func (a *Automaton) goesOn(s *state) bool {
	v := a.v
	path := make([]*state, v.longest+1)
	path[0] = s
	for n := 0; n < len(v.label); {
		to, err := a.step(path[v.depth[n]], a.p.class[v.label[n]])
		switch {
		case err != nil:
			return false
		case to == dead:
			n = int(v.past[n])
		case v.at[n] < v.at[n+1]:
			return true
		default:
			path[v.depth[n]+1] = to
			n++
		}
	}
	return false
}
