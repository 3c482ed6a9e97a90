//go:build !linux

package kernel

// weightMemory is what holds some weights: here, Go's heap.
type weightMemory struct{}

func weightBytes(n int) ([]byte, weightMemory) { return alignedBytes(n), weightMemory{} }

func (weightMemory) free() {}

func adviseHuge([]byte) {}
