//go:build !linux

package kernel

func weightBytes(n int) []byte { return alignedBytes(n) }

func freeWeightBytes([]byte) {}
