//go:build !amd64

package kernel

type archScratch struct{}
