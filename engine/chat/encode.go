package chat

// Prompt returns the ids that serving feeds to get the next assistant turn: the
// messages and the generation prompt.
func (t *Template) Prompt(msgs []Message) ([]int32, error) {
	if err := t.check(msgs); err != nil {
		return nil, err
	}
	r, err := t.render(msgs, true)
	if err != nil {
		return nil, err
	}
	ids, _ := t.tokenize(r, t.layout(msgs, r), len(msgs))
	return ids, nil
}

// Encode returns the ids of a whole conversation and its completion mask: true
// for the tokens of the assistant turns at index trainFrom or later, with the
// token that ends each. The mask is as long as ids and false throughout when
// there are no such turns.
func (t *Template) Encode(msgs []Message, trainFrom int) (ids []int32, mask []bool, err error) {
	if err := t.check(msgs); err != nil {
		return nil, nil, err
	}
	r, err := t.render(msgs, false)
	if err != nil {
		return nil, nil, err
	}
	turns := t.layout(msgs, r)
	for _, u := range turns {
		if u.err != nil && u.message >= trainFrom {
			return nil, nil, u.err
		}
	}
	ids, mask = t.tokenize(r, turns, trainFrom)
	return ids, mask, nil
}

// tokenize cuts r wherever a completion begins or ends and tokenises the parts
// each for itself.
func (t *Template) tokenize(r text, turns []turn, trainFrom int) (ids []int32, mask []bool) {
	from := 0
	add := func(to int, train bool) {
		if to <= from {
			return
		}
		part := t.tok.EncodeSpans(r.s[from:to], shift(clip(r.plain, from, to), -from))
		ids = append(ids, part...)
		for range part {
			mask = append(mask, train)
		}
		from = to
	}
	for _, u := range turns {
		if u.err != nil {
			continue
		}
		for _, s := range u.spans {
			add(s[0], false)
			add(s[1], u.message >= trainFrom)
		}
	}
	add(len(r.s), false)
	return ids, mask
}

func shift(spans [][2]int, by int) [][2]int {
	for i := range spans {
		spans[i][0] += by
		spans[i][1] += by
	}
	return spans
}
