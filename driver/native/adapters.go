package native

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"dlm"
	"dlm/engine/lora"
	"dlm/engine/model"
)

// loaded is an adapter in memory.
type loaded struct {
	a     *lora.Served
	stamp [3]fileStamp // of the folder's files when they were read
}

// fileStamp tells a file that was written anew.
type fileStamp struct {
	size int64
	time time.Time
}

// adapter returns the adapter in dir, nil for the base itself. A folder is read
// once, and again when its files have changed. Callers hold n.mu.
//
// It fails closed (engine law 8): every tensor must bind, the folder must name
// this base, tokenizer and template, and a probe prompt must move.
func (n *Native) adapter(dir string) (model.Adapter, error) {
	if dir == "" {
		return nil, nil
	}
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	stamp := stampOf(path)
	if l := n.adapters[path]; l != nil && l.stamp == stamp {
		return l.a, nil
	}
	delete(n.adapters, path)
	a, _, err := n.masters(dir)
	if err != nil {
		return nil, err
	}
	l := &loaded{a: a.Served(), stamp: stamp}
	n.adapters[path] = l
	return l.a, nil
}

// masters reads the adapter in dir anew, with what only merging, writing and probing
// read: a served adapter keeps none of it. It fails closed as adapter does.
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

func stampOf(dir string) (s [3]fileStamp) {
	for i, f := range []string{lora.ConfigFile, lora.WeightsFile, lora.IdentityFile} {
		if info, err := os.Stat(filepath.Join(dir, f)); err == nil {
			s[i] = fileStamp{info.Size(), info.ModTime()}
		}
	}
	return s
}

// CheckAdapter loads the adapter in dir as serving would.
func (n *Native) CheckAdapter(dir string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, err := n.adapter(dir)
	return err
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
