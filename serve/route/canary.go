package route

import (
	"crypto/sha256"
	"encoding/binary"
)

// side is a number from 0 up to 1: requests below a canary's share go to it.
// Equal sticky texts get equal numbers, in every process; and whoever gets the
// canary keeps it while its share grows.
func side(name, sticky string, draw func() float64) float64 {
	if sticky == "" {
		return draw()
	}
	sum := sha256.Sum256([]byte(name + "\x00" + sticky))
	return float64(binary.BigEndian.Uint64(sum[:8])>>11) / (1 << 53)
}
