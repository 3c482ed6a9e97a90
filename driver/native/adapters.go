package native

import (
	"context"
	"fmt"

	"dlm"
	"dlm/engine/lora"
)

// masters reads the adapter in dir anew, with what only merging, writing and probing
// read: a served adapter keeps none of it. It fails closed as readServed does.
// Callers hold n.mu.
func (n *Native) masters(dir string) (*lora.Adapter, dlm.Probe, error) {
	a, err := lora.Load(dir, n.m, n.id)
	if err != nil {
		return nil, dlm.Probe{}, err
	}
	p, err := n.probe(a)
	if err != nil {
		return nil, p, fmt.Errorf("adapter %s refused: %w", dir, err)
	}
	return a, p, nil
}

// CheckAdapter loads the adapter in dir as serving would.
func (n *Native) CheckAdapter(dir string) error {
	if dir == "" {
		return nil
	}
	h, err := n.shelf.use(context.Background(), dir, false)
	if err != nil {
		return err
	}
	n.shelf.release(h)
	return nil
}

// ImportAdapter binds a PEFT folder that names no base to this one, on the
// user's word, and writes it to out. All checks are made but that of the hash.
func (n *Native) ImportAdapter(dir, out string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	a, err := lora.LoadForeign(dir, n.m)
	if err != nil {
		return err
	}
	p, err := n.probe(a)
	if err != nil {
		return fmt.Errorf("adapter %s refused: %w", dir, err)
	}
	return n.save(a, p, out)
}
