//go:build !amd64

package kernel

func archEntries() []entry { return nil }
