package weights

import (
	"fmt"
	"math"
	"strings"
)

// Config is the architecture of a base: what the forward pass needs to know.
type Config struct {
	Arch        string       // one of Families
	Layers      int          // L
	Hidden      int          // C, channels of the residual stream
	FFN         int          // channels inside the gated feed-forward
	Heads       int          // H, query heads
	KVHeads     int          // K, key-value heads; divides Heads
	HeadDim     int          // D, channels of a head; even
	Vocab       int          // V, rows of the embedding
	MaxSeq      int          // tokens the base was trained for
	RopeTheta   float64      // base of the rotary angles
	RopeScaling *RopeScaling // nil = none
	NormEps     float32      // epsilon of RMSNorm
	Tied        bool         // the output projection is the embedding
	QKVBias     bool         // query, key and value projections have biases
	QKNorm      bool         // RMSNorm over each head of query and key, before the rotation
	Name        string       // for people
}

// Families are the supported architectures, as GGUF's general.architecture and
// config.json's model_type name them.
var Families = []string{"llama", "qwen2", "qwen3"}

// familyNames lists the families for an error message.
func familyNames() string {
	n := len(Families) - 1
	return strings.Join(Families[:n], ", ") + " and " + Families[n]
}

// RopeScaling is Llama 3's stretching of the rotary angles (transformers'
// rope_type "llama3"): frequencies whose wavelength exceeds
// OriginalMaxSeq/LowFreqFactor are divided by Factor, those below
// OriginalMaxSeq/HighFreqFactor are kept, and between them it is interpolated.
type RopeScaling struct {
	Factor, LowFreqFactor, HighFreqFactor float64
	OriginalMaxSeq                        int
}

// limits on what a config may announce; far above any real base, low enough that
// products of two stay inside an int.
const (
	maxDim    = 1 << 24
	maxVocab  = 1 << 27
	maxLayers = 1 << 14
)

// check refuses configs whose numbers cannot describe a transformer.
func (c *Config) check() error {
	for _, f := range []struct {
		name   string
		v, max int
	}{
		{"layers", c.Layers, maxLayers}, {"hidden size", c.Hidden, maxDim}, {"feed-forward size", c.FFN, maxDim},
		{"attention heads", c.Heads, maxDim}, {"key-value heads", c.KVHeads, maxDim}, {"head size", c.HeadDim, maxDim},
		{"vocabulary size", c.Vocab, maxVocab}, {"context length", c.MaxSeq, math.MaxInt32},
	} {
		if f.v <= 0 || f.v > f.max {
			return fmt.Errorf("%s is %d; expected 1 to %d", f.name, f.v, f.max)
		}
	}
	switch {
	case c.Heads%c.KVHeads != 0:
		return fmt.Errorf("%d attention heads are not a multiple of %d key-value heads", c.Heads, c.KVHeads)
	case c.HeadDim%2 != 0:
		return fmt.Errorf("head size %d is odd; rotary embedding needs pairs", c.HeadDim)
	case c.Heads > maxDim/c.HeadDim:
		return fmt.Errorf("%d heads of %d are too large", c.Heads, c.HeadDim)
	case !(c.RopeTheta > 0) || math.IsInf(c.RopeTheta, 0):
		return fmt.Errorf("rope theta is %v; expected a positive number", c.RopeTheta)
	case !(c.NormEps > 0 && c.NormEps < 1):
		return fmt.Errorf("RMSNorm epsilon is %v; expected a number between 0 and 1", c.NormEps)
	}
	if s := c.RopeScaling; s != nil {
		return s.check()
	}
	return nil
}

func (s *RopeScaling) check() error {
	switch {
	case !(s.Factor >= 1) || math.IsInf(s.Factor, 0):
		return fmt.Errorf("rope scaling factor is %v; expected at least 1", s.Factor)
	case !(s.LowFreqFactor > 0) || !(s.HighFreqFactor > s.LowFreqFactor) || math.IsInf(s.HighFreqFactor, 0):
		return fmt.Errorf("rope scaling low and high frequency factors are %v and %v; expected 0 < low < high", s.LowFreqFactor, s.HighFreqFactor)
	case s.OriginalMaxSeq <= 0 || s.OriginalMaxSeq > math.MaxInt32:
		return fmt.Errorf("rope scaling original context length is %d; expected a positive number", s.OriginalMaxSeq)
	}
	return nil
}

// divisor returns by how much the scaling slows down a rotary frequency
// (radians per position).
func (s *RopeScaling) divisor(freq float64) float64 {
	wavelen := 2 * math.Pi / freq
	switch n := float64(s.OriginalMaxSeq); {
	case wavelen < n/s.HighFreqFactor:
		return 1
	case wavelen > n/s.LowFreqFactor:
		return s.Factor
	default:
		smooth := (n/wavelen - s.LowFreqFactor) / (s.HighFreqFactor - s.LowFreqFactor)
		return 1 / ((1-smooth)/s.Factor + smooth)
	}
}
