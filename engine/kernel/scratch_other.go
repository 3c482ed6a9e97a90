//go:build !amd64 && !arm64

package kernel

type archScratch struct{}
