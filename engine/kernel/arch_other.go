//go:build !amd64 && !arm64

package kernel

func archEntries() []entry { return nil }
