package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dlm"
	"dlm/engine/lora"
	"dlm/engine/model"
)

// LoadAdapter checks the adapter in dir and brings it in, without holding up what
// is running. See dlm.AdapterHost.
func (n *Native) LoadAdapter(ctx context.Context, dir string, pin bool) error {
	h, err := n.shelf.use(ctx, dir, false)
	if err != nil {
		return err
	}
	n.shelf.mu.Lock()
	h.pinned, h.gone = pin, false
	n.shelf.mu.Unlock()
	n.shelf.release(h)
	return nil
}

// UnloadAdapter lets the adapter in dir go as soon as no request uses it. One that
// is not in memory is no error.
func (n *Native) UnloadAdapter(_ context.Context, dir string) error {
	path, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	s := n.shelf
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.held[path]
	if h == nil {
		return nil
	}
	h.pinned, h.gone = false, true
	if h.uses == 0 {
		s.forget(h)
		s.drops++
	}
	return nil
}

// Adapters lists the adapters in memory, by folder.
func (n *Native) Adapters() []dlm.HeldAdapter {
	s := n.shelf
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []dlm.HeldAdapter
	for _, h := range s.held {
		if h.a != nil {
			out = append(out, dlm.HeldAdapter{Dir: h.path, Bytes: h.bytes, Pinned: h.pinned, InUse: h.uses, Used: h.used})
		}
	}
	slices.SortFunc(out, func(a, b dlm.HeldAdapter) int { return strings.Compare(a.Dir, b.Dir) })
	return out
}

// readServed reads and checks the adapter in dir as a request for it needs it.
//
// It fails closed (engine law 8): every tensor must bind, the folder must name
// this base, tokenizer and template, and a probe prompt must move. The probe is
// scored like any request, in a batch with what is running.
func (n *Native) readServed(dir string) (*lora.Served, error) {
	a, err := lora.LoadBeside(dir, n.m, n.id, n.side)
	if err != nil {
		if _, stat := os.Stat(dir); errors.Is(stat, fs.ErrNotExist) {
			return nil, &dlm.Fault{Kind: dlm.FaultUnknown, Param: "model", Err: err}
		}
		return nil, err
	}
	s := a.Served()
	moved, err := n.movesProbe(s, a.Zero())
	if err == nil && !moved {
		// No log-probability of the probe differs. The logits of the whole vocabulary
		// have the last word: this holds up a step, and next to no adapter needs it.
		n.mu.Lock()
		_, err = n.probe(a)
		n.mu.Unlock()
	}
	if err != nil {
		return nil, fmt.Errorf("adapter %s refused: %w", dir, err)
	}
	return s, nil
}

// movesProbe says whether the adapter gives the probe other log-probabilities than
// the base; zero ones need not.
func (n *Native) movesProbe(a model.Adapter, zero bool) (bool, error) {
	ids := n.probeIDs()
	with, err := n.scoreIDs(ids, a)
	if err != nil {
		return false, err
	}
	if zero {
		return true, nil
	}
	base, err := n.scoreIDs(ids, nil)
	if err != nil {
		return false, err
	}
	return !slices.Equal(base, with), nil
}
