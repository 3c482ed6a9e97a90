package train

import "fmt"

// EarlyStop ends a run whose held-out loss no longer falls (Prechelt 1998, "Early
// Stopping - but when?"). The zero value never does.
type EarlyStop struct {
	Patience int     // evaluations in a row without progress after which the run ends; 0 = off
	MinDelta float64 // nats a token by which a loss must be below the last that was progress, to be progress too
}

func (e EarlyStop) validate(c Config) error {
	switch {
	case e == EarlyStop{}:
		return nil
	case e.Patience < 1:
		return fmt.Errorf("early_stopping: patience %d: expected 1 or more evaluations", e.Patience)
	case !(e.MinDelta >= 0 && e.MinDelta < 1e3):
		return fmt.Errorf("early_stopping: min_delta %v: expected 0 or more", e.MinDelta)
	case c.EvalEvery == 0:
		return fmt.Errorf("early_stopping needs eval_every, the steps from one evaluation to the next")
	}
	return nil
}

// progress returns the last evaluation that was progress and how many have
// followed it. It reads nothing but the evaluations, which checkpoints hold, so a
// resumed run stops where one in one go does.
func (e EarlyStop) progress(evals []Eval) (last Eval, since int) {
	for i, ev := range evals {
		if i == 0 || ev.Loss < last.Loss-e.MinDelta {
			last, since = ev, 0
			continue
		}
		since++
	}
	return last, since
}

// stops reports whether the run ends after these evaluations.
func (e EarlyStop) stops(evals []Eval) bool {
	_, since := e.progress(evals)
	return e.Patience > 0 && since >= e.Patience
}

// stopped reports whether the run has ended before its last step.
func (r *runner) stopped() bool { return r.st.Step < r.total && r.cfg.EarlyStop.stops(r.st.Evals) }

// tellStop says why the run ended early.
func (r *runner) tellStop() {
	last, since := r.cfg.EarlyStop.progress(r.st.Evals)
	by := ""
	if d := r.cfg.EarlyStop.MinDelta; d > 0 {
		by = fmt.Sprintf(" by more than %v", d)
	}
	e := r.event("stop")
	e.Text = fmt.Sprintf("stopped early: in %d evaluations the held-out loss has not fallen below that of step %d, %.4f%s", since, last.Step, last.Loss, by)
	r.emit(e)
}
