package infer

// Reports of prompts: the log-probability of each token of a prompt but the first,
// and what else could have stood there. They come from the passes that compute the
// prompt, which such a request computes whole: log-probabilities are not cached.

// reportPrompt makes s report its prompt.
func (e *Engine) reportPrompt(s *Sequence) {
	s.from, s.until = 1, s.prompt
	s.scores = make([]float32, 0, s.until-s.from)
	s.report = make([]Token, s.prompt)
	for i, id := range s.ids[:s.prompt] {
		s.report[i] = Token{ID: id, Bytes: e.pieces.Piece(id)}
	}
}

// addPrompt puts a request for a report alone into the waiting line. Like a scoring
// it is computed whole where it fits, and shares what others begin with.
func (e *Engine) addPrompt(r Request) (*Sequence, error) {
	route := Auto
	s, err := e.AddScore(ScoreRequest{IDs: r.IDs, From: 1, Adapter: r.Adapter, Key: r.Key, Tenant: r.Tenant, Route: route})
	if err != nil {
		return nil, err
	}
	s.prompt, s.top, s.finish = len(r.IDs), r.TopLogProbs, Length
	e.reportPrompt(s)
	return s, nil
}
