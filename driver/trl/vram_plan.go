package trl

import "dlm"

// Plan is what a run of so many rows takes, where no more of them is known than
// that none is longer than Memory.Tokens. m is as Choose returned it.
func (m Memory) Plan(rows int) dlm.TrainPlan {
	p := dlm.TrainPlan{Examples: rows, Steps: steps(m.Recipe, rows), Layers: m.Shape.Layers, Warnings: []string{}}
	m.into(&p)
	p.Device, p.DeviceBytes = deviceName(m.Device), m.Device.Bytes
	return p
}

// into fills in a plan's memory.
func (m Memory) into(p *dlm.TrainPlan) {
	rows, tokens := m.pass()
	p.MicroTokens, p.Parameters = int(rows*tokens), m.Trained()
	p.Bytes, p.PeakBytes = m.Bytes(), m.Peak()
	if m.Recipe.Checkpointing == "on" {
		p.Recomputed = m.Shape.Layers
	}
}
