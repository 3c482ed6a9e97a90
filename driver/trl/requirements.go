package trl

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"strings"
)

//go:embed program/requirements.txt
var requirements string

// Pins are the versions that the program is tested with, by package.
func Pins() map[string]string {
	pins := map[string]string{}
	for line := range strings.Lines(requirements) {
		if name, version, ok := strings.Cut(strings.TrimSpace(line), "=="); ok {
			pins[name] = version
		}
	}
	return pins
}

// requirementsHash names the set of pins: an environment of other ones is another.
func requirementsHash() string {
	sum := sha256.Sum256([]byte(requirements))
	return hex.EncodeToString(sum[:4])
}
