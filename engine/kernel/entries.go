package kernel

import (
	"errors"
	"sync"
)

// entries lists the kernel sets of this build, best first. The portable one is
// last and always passes.
func entries() []entry {
	return append(archEntries(), entry{set: &portable})
}

// tested remembers each set's self-test: once in a process is enough.
var tested struct {
	sync.Mutex
	results map[*set]error
}

// check says why the set cannot be used here; nil if it can.
func (e entry) check() error {
	if e.set == &portable {
		return nil
	}
	if e.missing != nil {
		if m := e.missing(); m != "" {
			return errors.New("this CPU lacks " + m)
		}
	}
	tested.Lock()
	defer tested.Unlock()
	if err, done := tested.results[e.set]; done {
		return err
	}
	if tested.results == nil {
		tested.results = map[*set]error{}
	}
	err := selfTest(e.set)
	tested.results[e.set] = err
	return err
}
