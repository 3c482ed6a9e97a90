package infer

import (
	"fmt"
	"slices"

	"dlm/engine/kv"
	"dlm/engine/model"
	"dlm/engine/sample"
)

var _ model.Cache = (*kv.Sequence)(nil)

// Key blocks of the cache and of attention are the same: these do not compile
// when one is longer than the other.
const (
	_ uint = kv.BlockSize - model.BlockLen
	_ uint = model.BlockLen - kv.BlockSize
)

// Pieces gives the bytes of one token; a tokenizer does.
type Pieces interface{ Piece(id int32) []byte }

// What Options are when they do not say.
const (
	DefaultTokens    = 512 // rows of a pass
	DefaultSequences = 32  // running at once
)

// Options size the engine. Zero values are replaced by defaults.
type Options struct {
	MaxTokens    int   // rows of a pass; DefaultTokens
	PrefillChunk int   // positions of one sequence in a step; MaxTokens
	MaxSequences int   // running at once; DefaultSequences, at most MaxTokens
	CacheBytes   int64 // of the key-value cache; what MaxSequences need, at most 1 GiB
	PrefillRows  int   // rows of prompts in a step in which others decode; 0: what is left of MaxTokens
	OwnPrefixes  bool  // cache blocks are shared within a tenant only: how soon an answer comes tells nobody what others have asked
	NoPrefixes   bool  // compute every prompt whole: no cache block is shared or kept
}

// Engine holds the sequences and the memory to run them. It belongs to one
// goroutine at a time.
type Engine struct {
	m      *model.Model
	pieces Pieces
	o      Options
	pool   *kv.Pool
	pass   *model.Pass
	rank   int // of adapters that pass was planned for

	running  []*Sequence // in order of admission
	tenants  tenants     // and their waiting lines
	arrivals uint64      // sequences that came so far
	spare    []*kv.Sequence
	stats    Stats // without what is counted when asked for
	last     StepInfo
	plan     plan
	items    []*item   // of running, for the scheduler
	lines    [][]*item // of the tenants' waiting lines

	// of one step
	batch    []*Sequence // that have rows in the pass
	segs     []model.Segment
	ready    []*Sequence           // whose next token is to be sampled
	first    []int                 // where their rows begin in rows
	rows     []int                 // of their last known tokens and their guesses
	targets  []model.Target        // of scoring sequences
	tops     [][]model.Alternative // of targets
	forest   model.Forest          // of whole sequences
	whole    []model.Sequence
	logps    []float32   // of targets
	logits   []float32   // [MaxSequences + cheapRows, V]
	picks    []pick      // of rows
	taken    []int       // picks of each of ready
	cheap    int         // cheapRows; benchmarks try others
	eager    []*Sequence // that may guess
	pickErr  []error     // of ready
	masks    [][]uint64  // a worker's, [ceil(V/64)]
	samplers []*sample.Sampler
	pick     func(task, worker int)
}

// New returns an engine for one base.
func New(m *model.Model, pieces Pieces, o Options) (*Engine, error) {
	c := m.Config()
	if o.MaxTokens <= 0 {
		o.MaxTokens = DefaultTokens
	}
	if o.MaxSequences <= 0 {
		o.MaxSequences = DefaultSequences
	}
	o.MaxSequences = min(o.MaxSequences, o.MaxTokens)
	if o.PrefillChunk <= 0 || o.PrefillChunk > o.MaxTokens {
		o.PrefillChunk = o.MaxTokens
	}
	shape := shapeOf(m)
	if o.CacheBytes <= 0 {
		one := int64(kv.BlocksFor(c.MaxSeq)) * shape.BlockBytes()
		o.CacheBytes = max(one, min(one*int64(o.MaxSequences), 1<<30))
	}
	pool, err := kv.NewPool(shape, o.CacheBytes)
	if err != nil {
		return nil, err
	}
	e := &Engine{
		m: m, pieces: pieces, o: o, pool: pool, cheap: cheapRows,
		segs:    make([]model.Segment, 0, o.MaxSequences),
		rows:    make([]int, 0, o.MaxSequences),
		targets: make([]model.Target, 0, o.MaxTokens),
		logps:   make([]float32, o.MaxTokens),
		logits:  make([]float32, (o.MaxSequences+cheapRows)*c.Vocab),
		picks:   make([]pick, o.MaxSequences+cheapRows),
		taken:   make([]int, o.MaxSequences),
		pickErr: make([]error, o.MaxSequences),
		tenants: tenants{all: map[string]*tenant{}},
	}
	e.plan.h = e
	for range m.Exec().Threads() {
		e.samplers = append(e.samplers, sample.New(m.Exec(), c.Vocab))
		e.masks = append(e.masks, make([]uint64, (c.Vocab+63)/64))
	}
	e.pick = e.pickOne
	return e, nil
}

// shapeOf is what a position of the base takes in the cache.
func shapeOf(m *model.Model) kv.Shape {
	c := m.Config()
	return kv.Shape{Layers: c.Layers, KVHeads: c.KVHeads, HeadDim: c.HeadDim, Mode: m.Mode()}
}

// Need is the memory that running reqs together takes besides weights and
// adapters: cache, pass and logits, in bytes.
func (e *Engine) Need(reqs []Request) int64 {
	c, blocks, rank := e.m.Config(), 0, e.rank
	for _, r := range reqs {
		n := c.MaxSeq
		if r.MaxTokens > 0 {
			n = min(n, len(r.IDs)+r.MaxTokens)
		}
		blocks += kv.BlocksFor(n)
		rank = max(rank, rankOf(r.Adapter, c.Layers))
	}
	bytes := int64(min(blocks, e.pool.Limit())) * e.pool.Shape().BlockBytes()
	bytes += int64(len(e.logits)+e.m.Exec().Threads()*3*c.Vocab) * 4 // logits, samplers
	for use, b := range model.PassBytes(c, e.m.Mode(), e.o.MaxTokens, rank, false, e.m.Exec().Threads()) {
		if use != "logits" { // the pass's own are for scoring: completions do not touch them
			bytes += b
		}
	}
	return bytes
}

// Add puts a request into the waiting line. emit, when not nil, is called with
// each token as it comes, from within Step.
func (e *Engine) Add(r Request, emit func(Token)) (*Sequence, error) {
	if err := e.check(&r); err != nil {
		return nil, err
	}
	if r.PromptOnly {
		return e.addPrompt(r)
	}
	limit := e.m.Config().MaxSeq
	if r.MaxTokens > 0 {
		limit = min(limit, len(r.IDs)+r.MaxTokens)
	}
	// The last token of a completion is never computed.
	if need, have := kv.BlocksFor(limit-1), e.pool.Limit(); need > have {
		return nil, fmt.Errorf("prompt and completion of %d tokens take %d cache blocks, the cache has %d; ask for fewer tokens or give the cache more memory", limit, need, have)
	}
	s := &Sequence{
		item:     item{need: len(r.IDs), prompt: len(r.IDs)},
		ids:      append(make([]int32, 0, min(limit, len(r.IDs)+256)), r.IDs...),
		adapter:  r.Adapter,
		sampling: r.Sampling,
		stopIDs:  r.StopIDs,
		grammar:  r.Grammar,
		least:    r.MinTokens,
		top:      r.TopLogProbs,
		guesser:  newGuesser(r.Draft),
		limit:    limit,
		stream:   NewTextStream(r.StopStrings),
		emit:     emit,
	}
	if r.PromptLogProbs {
		e.reportPrompt(s)
	}
	if r.Sampling.Penalises() {
		s.history = sample.NewHistory(e.m.Config().Vocab)
		s.history.AddPrompt(r.IDs...)
	}
	e.stats.Prompt += uint64(len(r.IDs))
	e.enter(s, r.Tenant, r.Key)
	return s, nil
}

// AddScore puts a scoring into the waiting line.
func (e *Engine) AddScore(r ScoreRequest) (*Sequence, error) {
	if err := e.checkScore(&r); err != nil {
		return nil, err
	}
	need := len(r.IDs) - 1 // nothing comes after the last token
	s := &Sequence{
		item:    item{need: need, prompt: r.From},
		ids:     r.IDs,
		adapter: r.Adapter,
		given:   true,
		scores:  make([]float32, 0, len(r.IDs)-r.From),
		from:    r.From,
		until:   len(r.IDs),
	}
	switch {
	case r.From == len(r.IDs):
		s.ended = true
		return s, nil
	case r.Route == Whole || r.Route == Auto && need <= e.o.MaxTokens:
		s.whole = true
	case kv.BlocksFor(need) > e.pool.Limit():
		return nil, fmt.Errorf("%d tokens take %d cache blocks, the cache has %d; give it more memory", need, kv.BlocksFor(need), e.pool.Limit())
	}
	e.stats.Prompt += uint64(len(r.IDs))
	e.enter(s, r.Tenant, r.Key)
	return s, nil
}

// enter puts s into its tenant's waiting line and sees to a pass that holds its adapter.
func (e *Engine) enter(s *Sequence, tenant, key string) {
	if r := rankOf(s.adapter, e.m.Config().Layers); e.pass == nil || r > e.rank {
		e.rank = max(e.rank, r)
		e.pass = e.m.NewPass(e.o.MaxTokens, e.rank, false)
	}
	s.seq, s.tenant, s.arrival = s, e.tenants.of(tenant), e.arrivals
	s.account = &s.tenant.account
	e.arrivals++
	// An adapter without a key may be changed in place, as training does.
	s.shares = !e.o.NoPrefixes && (key != "" || s.adapter == nil)
	s.root = rootKey(key)
	if e.o.OwnPrefixes {
		s.root = ownKey(s.root, tenant)
	}
	e.tenants.enter(s)
}

// rankOf is the largest rank of an adapter's projections.
func rankOf(a model.Adapter, layers int) (rank int) {
	if a == nil {
		return 0
	}
	for l := range layers {
		for m := range model.NumModules {
			if p := a.Projection(l, m); p != nil {
				rank = max(rank, p.Rank)
			}
		}
	}
	return rank
}

// Drop takes a sequence out, done or not, and frees its blocks at once.
func (e *Engine) Drop(s *Sequence) {
	s.ended = true
	if i := slices.Index(e.running, s); i >= 0 {
		e.leave(s)
		e.running = slices.Delete(e.running, i, i+1)
	} else if s.tenant != nil {
		e.tenants.leave(s)
	}
	s.letGo()
}

// leave gives back what a running sequence holds.
func (e *Engine) leave(s *Sequence) {
	s.tenant.running--
	if s.cache != nil {
		s.cache.Free()
		e.spare = append(e.spare, s.cache)
		s.cache = nil
	}
	s.blocks, s.published = 0, 0
}

// Idle reports whether there is nothing to do.
func (e *Engine) Idle() bool { return len(e.running)+e.tenants.waiting == 0 }

// Forget gives up the cache blocks that are kept for prompts to come.
func (e *Engine) Forget() { e.pool.Forget() }

// SetPrefillRows changes Options.PrefillRows from the next step on.
func (e *Engine) SetPrefillRows(n int) { e.o.PrefillRows = n }
