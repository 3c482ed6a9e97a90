package kernel

import "errors"

// entries lists the kernel sets of this build, best first. The portable one is
// last and always passes.
func entries() []entry {
	return append(archEntries(), entry{set: &portable})
}

// check says why the set cannot be used here; nil if it can.
func (e entry) check() error {
	if e.missing != nil {
		if m := e.missing(); m != "" {
			return errors.New("this CPU lacks " + m)
		}
	}
	return nil
}
