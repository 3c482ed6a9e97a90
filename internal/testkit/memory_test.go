package testkit

import (
	"testing"

	"dlm"
)

func TestMemoryStore(t *testing.T) {
	Store(t, func(t *testing.T) func() dlm.Store {
		m := NewMemory(t)
		return func() dlm.Store { return m }
	})
}
