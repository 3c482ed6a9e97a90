package lora

import (
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/model"
)

// A served adapter multiplies by the very panels of the adapter, projection by
// projection, and takes less memory by just the masters: those are 32 bits a value, panels
// 16.
func TestServed(t *testing.T) {
	m := base(t, kernel.BF16)
	a := New(m, Config{Rank: 4, Alpha: 8, Modules: []model.Module{model.QProj, model.DownProj}}, 1)
	a.EnableGrad()
	s := a.Served()
	for l := range m.Config().Layers {
		for mod := range model.NumModules {
			want, got := a.Projection(l, mod), s.Projection(l, mod)
			if (want == nil) != (got == nil) {
				t.Fatalf("layer %d, %v: adapted %v, served %v", l, mod, want != nil, got != nil)
			}
			if want == nil {
				continue
			}
			if got.A != want.A || got.B != want.B || got.Scale != want.Scale || got.Rank != want.Rank {
				t.Errorf("layer %d, %v: served %+v, the adapter has %+v", l, mod, got, want)
			}
			if got.GradA != nil || got.GradBT != nil {
				t.Errorf("layer %d, %v: the served adapter keeps gradients", l, mod)
			}
		}
	}
	if masters := a.Parameters() * 4; s.Bytes() != a.Bytes()-masters {
		t.Errorf("served it takes %d bytes; %d with masters of %d", s.Bytes(), a.Bytes(), masters)
	}
}
