package lora

import (
	"fmt"
	"math"
	"slices"

	"dlm/engine/model"
)

// Config is the shape and the scaling of an adapter.
type Config struct {
	Rank         int            // R of every projection that no pattern names
	Alpha        float64        // scaling numerator, likewise
	RankPattern  []Pattern      // other ranks, whole numbers; the first pattern that matches wins
	AlphaPattern []Pattern      // other alphas
	Dropout      float64        // probability that a channel of x is dropped before A, in training
	RSLoRA       bool           // scale by alpha/√R (Kalajdzievski 2023, arXiv:2312.03732) instead of alpha/R
	Modules      []model.Module // adapted projections; empty = all seven
}

// MaxRank is the largest rank accepted: more is a mistake at the sizes of base
// that run here, and buffers grow with it.
const MaxRank = 1024

// AllModules returns the seven projections of a layer.
func AllModules() []model.Module {
	all := make([]model.Module, 0, model.NumModules)
	for m := model.Module(0); m < model.NumModules; m++ {
		all = append(all, m)
	}
	return all
}

// ParseModules turns PEFT's target_modules into modules; an empty list or the
// one name "all-linear" means all seven.
func ParseModules(names []string) ([]model.Module, error) {
	if len(names) == 0 || (len(names) == 1 && names[0] == "all-linear") {
		return AllModules(), nil
	}
	var mods []model.Module
	for _, n := range names {
		m, ok := model.ParseModule(n)
		if !ok {
			return nil, fmt.Errorf("target_modules: %q is not a projection that can be adapted; expected some of %v", n, AllModules())
		}
		if !slices.Contains(mods, m) {
			mods = append(mods, m)
		}
	}
	slices.Sort(mods)
	return mods, nil
}

// scale returns the factor on x Aᵀ of a projection of that size.
func (c Config) scale(s projectionSize) float64 {
	if c.RSLoRA {
		return s.alpha / math.Sqrt(float64(s.rank))
	}
	return s.alpha / float64(s.rank)
}

// ValidateFor is Validate and checks that every pattern decides the rank or
// alpha of a projection of m.
func (c Config) ValidateFor(m *model.Model) error { return c.validateFor(m.Config().Layers) }

func (c Config) validateFor(layers int) error {
	if err := c.Validate(); err != nil {
		return err
	}
	_, err := c.sizes(layers)
	return err
}

// Validate says what is wrong with the configuration, naming the field.
func (c Config) Validate() error {
	switch {
	case c.Rank < 1 || c.Rank > MaxRank:
		return fmt.Errorf("rank %d: expected 1 to %d", c.Rank, MaxRank)
	case !(c.Alpha > 0) || math.IsInf(c.Alpha, 0):
		return fmt.Errorf("alpha %v: expected a positive number (twice the rank is usual)", c.Alpha)
	case !(c.Dropout >= 0 && c.Dropout < 1):
		return fmt.Errorf("dropout %v: expected 0 or more and less than 1", c.Dropout)
	}
	for _, m := range c.Modules {
		if m >= model.NumModules {
			return fmt.Errorf("module %d does not exist; expected some of %v", m, AllModules())
		}
	}
	return c.validatePatterns()
}

// modules returns the adapted projections in canonical order.
func (c Config) modules() []model.Module {
	if len(c.Modules) == 0 {
		return AllModules()
	}
	mods := slices.Clone(c.Modules)
	slices.Sort(mods)
	return slices.Compact(mods)
}
