package infer

import "slices"

// Tenants are served in turn, by a counter of what each has had: the virtual token
// counter of Sheng et al., "Fairness in Serving Large Language Models"
// (arXiv 2401.00588). Whoever has had the least is next, so that one who sends a
// thousand requests at once waits for itself and not others for it. Counters are
// charged as positions are computed, since nobody knows how long a completion gets.
// Positions found in the cache and those computed again cost nothing.

// completionCost is what a position of a completion is charged, in positions of a
// prompt: it takes the weights' bytes alone, or with few others (the paper's w_q/w_p).
const completionCost = 2

// account is what a tenant has had.
type account struct {
	served int64 // positions of prompts, and completionCost times those of completions
}

// pay charges an item's account for its positions up to that one.
func (it *item) pay(upto int) {
	if upto <= it.paid {
		return
	}
	it.account.served += int64(upto - it.paid)
	if more := upto - max(it.paid, it.prompt); more > 0 {
		it.account.served += int64((completionCost - 1) * more)
	}
	it.paid = upto
}

// tenant is one who asks.
type tenant struct {
	account
	name    string
	running int
	waiting []*Sequence // in order of arrival
}

func (t *tenant) active() bool { return t.running+len(t.waiting) > 0 }

// tenants are all who are known.
type tenants struct {
	all     map[string]*tenant
	queued  []*tenant // who have sequences waiting
	waiting int       // sequences
}

// of returns the tenant of that name. One who had nothing to do starts level with
// the least served of those who have: what was not asked for is not saved up.
func (ts *tenants) of(name string) *tenant {
	t := ts.all[name]
	if t == nil {
		t = &tenant{name: name}
	}
	if t.active() {
		return t
	}
	least, any := int64(0), false
	for _, o := range ts.all {
		if o.active() && (!any || o.served < least) {
			least, any = o.served, true
		}
	}
	t.served = max(t.served, least)
	for name, o := range ts.all {
		// Those who have gone and are owed nothing would start level again. Where nobody
		// is left, nobody has waited for anybody.
		if !o.active() && (!any || o.served <= least) {
			delete(ts.all, name)
		}
	}
	if !any {
		t.served = 0
	}
	ts.all[name] = t
	return t
}

// enter puts s into its tenant's waiting line, at its place by arrival.
func (ts *tenants) enter(s *Sequence) {
	t := s.tenant
	if len(t.waiting) == 0 {
		ts.queued = append(ts.queued, t)
	}
	at, _ := slices.BinarySearchFunc(t.waiting, s.arrival, func(o *Sequence, a uint64) int { return int(int64(o.arrival - a)) })
	t.waiting = slices.Insert(t.waiting, at, s)
	ts.waiting++
}

// leave takes s out of its tenant's waiting line and reports whether it stood there.
func (ts *tenants) leave(s *Sequence) bool {
	t := s.tenant
	at := slices.Index(t.waiting, s)
	if at < 0 {
		return false
	}
	t.waiting = slices.Delete(t.waiting, at, at+1)
	ts.waiting--
	if len(t.waiting) == 0 {
		ts.queued = slices.DeleteFunc(ts.queued, func(o *tenant) bool { return o == t })
	}
	return true
}
