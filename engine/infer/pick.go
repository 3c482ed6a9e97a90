package infer

import "dlm/engine/sample"

// sample picks the next token of every sequence whose known tokens are all
// computed, and hands it on.
func (e *Engine) sample() {
	if len(e.ready) == 0 {
		return
	}
	v := e.m.Config().Vocab
	e.pass.LogitsRows(e.logits[:len(e.rows)*v], e.rows)
	e.m.Exec().Run(len(e.ready), e.pick)
	for i, s := range e.ready {
		if err := e.pickErr[i]; err != nil {
			s.err, s.ended = err, true
			continue
		}
		e.stats.Generated++
		s.push(e.picked[i], e.logps[i], e.pieces.Piece(e.picked[i]))
	}
}

// pickOne is one task of sample.
func (e *Engine) pickOne(task, worker int) {
	v := e.m.Config().Vocab
	row, s := e.logits[task*v:(task+1)*v], e.ready[task]
	id, err := e.samplers[worker].Pick(row, s.sampling, sample.Place{Position: len(s.ids), History: s.history})
	if err == nil {
		if e.logps[task] = e.m.LogSoftmaxAt(row, id); notFinite(e.logps[task]) {
			err = sample.ErrNotFinite
		}
	}
	e.picked[task], e.pickErr[task] = id, err
}
