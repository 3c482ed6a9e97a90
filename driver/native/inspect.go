package native

import (
	"dlm"
	"dlm/engine/weights"
)

// Inspect checks the base at path as Open would read it, without packing its
// weights, and returns their digest.
func Inspect(path string) (dlm.Digest, error) {
	ck, err := weights.Open(path)
	if err != nil {
		return "", err
	}
	defer ck.Close()
	h, err := ck.Hash()
	return dlm.Digest(h), err
}
