package dlm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// ProbeFile is the file of an adapter folder that holds its [Probe].
const ProbeFile = "dlm_probe.json"

// Probe is a fixed text as a base and an adapter see it. Whoever serves the
// adapter elsewhere asks the same of that engine and sees whether it answers as
// the adapter, or as the base without it (engine law 8).
type Probe struct {
	Precision string    `json:"precision"`         // of the engine that computed it: "bf16" or "f32"
	Zero      bool      `json:"zero"`              // the adapter is the base: all its B are zero
	IDs       []int32   `json:"ids"`               // [T] token ids
	Base      []float64 `json:"base"`              // [T-1] log-probability of IDs[1:] given those before, by the base alone
	Adapter   []float64 `json:"adapter,omitempty"` // [T-1] by the base with the adapter; empty: a probe of the base
}

// probeFormat is the version of dlm_probe.json that this code writes.
const probeFormat = 1

type probeFile struct {
	Format int `json:"format"`
	Probe
}

// Marshal returns the probe as its file holds it.
func (p Probe) Marshal() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	raw, err := json.MarshalIndent(probeFile{probeFormat, p}, "", " ")
	return append(raw, '\n'), err
}

// ParseProbe reads what Marshal wrote.
func ParseProbe(raw []byte) (Probe, error) {
	var f probeFile
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return Probe{}, fmt.Errorf("broken: %w", err)
	}
	if d.More() {
		return Probe{}, errors.New("broken: something follows the JSON object")
	}
	if f.Format != probeFormat {
		return Probe{}, fmt.Errorf("format %d; this version reads format %d", f.Format, probeFormat)
	}
	return f.Probe, f.check()
}

func (p Probe) check() error {
	if len(p.IDs) < 2 {
		return fmt.Errorf("%d ids; expected two or more", len(p.IDs))
	}
	for name, logps := range map[string][]float64{"base": p.Base, "adapter": p.Adapter} {
		if len(logps) != len(p.IDs)-1 && (name == "base" || len(logps) > 0) {
			return fmt.Errorf("%s has %d log-probabilities for %d ids; expected one fewer than ids", name, len(logps), len(p.IDs))
		}
		for i, v := range logps {
			if math.IsNaN(v) || math.IsInf(v, 0) || v > 0 {
				return fmt.Errorf("%s[%d] is %v; expected a log-probability", name, i, v)
			}
		}
	}
	return nil
}

// Moved is by how much the adapter moves the probe: the mean absolute difference
// of its log-probabilities from the base's, in nats.
func (p Probe) Moved() float64 { return MeanDifference(p.Adapter, p.Base) }

// MeanDifference is the mean of |a[i]-b[i]|; infinite when they are not of the
// same length, or empty.
func MeanDifference(a, b []float64) float64 {
	if len(a) != len(b) || len(a) == 0 {
		return math.Inf(1)
	}
	sum := 0.0
	for i := range a {
		sum += math.Abs(a[i] - b[i])
	}
	return sum / float64(len(a))
}
