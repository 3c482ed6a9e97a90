package lora

import "dlm/engine/model"

// Served is an adapter that is only multiplied by: the panels of an Adapter without
// its float32 masters, which take three times as much memory and which only training,
// merging and saving read. It implements model.Adapter.
type Served struct {
	lora  []model.LoRA // in one piece: a step looks each of them up
	index [][model.NumModules]*model.LoRA
}

// Served returns the adapter for serving. It shares the panels, so it sees later
// calls of Repack; the masters are freed when nobody uses the Adapter any more.
func (a *Adapter) Served() *Served {
	s := &Served{lora: make([]model.LoRA, len(a.proj)), index: make([][model.NumModules]*model.LoRA, len(a.index))}
	for i, p := range a.proj {
		l := &s.lora[i]
		*l = p.lora
		l.GradA, l.GradBT, l.Dropout = nil, nil, 0
		s.index[p.layer][p.module] = l
	}
	return s
}

// Projection returns the LoRA of one projection, nil where it is not adapted.
func (s *Served) Projection(layer int, m model.Module) *model.LoRA { return s.index[layer][m] }

// Bytes returns the memory that the adapter takes.
func (s *Served) Bytes() (n int64) {
	for i := range s.lora {
		n += s.lora[i].A.Bytes() + s.lora[i].B.Bytes()
	}
	return n
}
