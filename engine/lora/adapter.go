package lora

import (
	"fmt"
	"math"

	"dlm/engine/kernel"
	"dlm/engine/model"
)

// Adapter is one LoRA adapter: float32 masters, and the panels that every
// forward pass, in training and in serving alike, multiplies by. It implements
// model.Adapter.
type Adapter struct {
	cfg   Config
	shape shape
	proj  []*projection                   // layers in order, within a layer the adapted modules in order
	index [][model.NumModules]*projection // [L]
	rows  [][]float32                     // [threads][largest R], a row of B while packing
}

// shape is what an adapter must know of its base.
type shape struct {
	layers int
	linear func(model.Module) (out, in int)
	format kernel.Format // of the panels: bf16, or f32 in the base's f32 mode
}

func shapeOf(m *model.Model) shape {
	f := kernel.FormatBF16
	if m.Mode() == kernel.F32 {
		f = kernel.FormatF32
	}
	return shape{layers: m.Config().Layers, linear: m.LinearShape, format: f}
}

// projection is one adapted linear layer.
type projection struct {
	layer   int
	module  model.Module
	out, in int
	a       []float32 // [R, in] master
	bt      []float32 // [R, out] master of B, transposed so that its gradient has contiguous rows
	lora    model.LoRA
}

// Param is one trained tensor. B and its gradient are transposed in memory:
// Value is [R, out] where Shape says [out, R].
type Param struct {
	Name        string // as PEFT writes it
	Value, Grad []float32
	Shape       []int // as written to a file
	Transposed  bool  // Value holds the transpose of Shape
}

// New makes an adapter for m: A uniform in ±1/√in (PEFT's kaiming_uniform with
// a = √5, drawn from a counter-based generator over seed, tensor and element), B
// zero, so that it starts as the base itself. It panics on a configuration that
// ValidateFor refuses.
func New(m *model.Model, c Config, seed uint64) *Adapter {
	return build(shapeOf(m), c, seed, m.Exec())
}

func build(s shape, c Config, seed uint64, x *kernel.Exec) *Adapter {
	a := alloc(s, c)
	for t, p := range a.proj {
		bound := 1 / math.Sqrt(float64(p.in))
		for i := range p.a {
			p.a[i] = float32((2*uniform(seed, uint64(t), uint64(i)) - 1) * bound)
		}
	}
	a.Repack(x)
	return a
}

// alloc makes an adapter of zeros.
func alloc(s shape, c Config) *Adapter {
	if err := c.validateFor(s.layers); err != nil {
		panic("lora: " + err.Error())
	}
	c.Modules = c.modules()
	sizes, _ := c.sizes(s.layers) // validated above
	a := &Adapter{cfg: c, shape: s, index: make([][model.NumModules]*projection, s.layers)}
	all := make([]projection, 0, s.layers*len(c.Modules)) // in one piece: a step looks each of them up
	for l := range s.layers {
		for _, mod := range c.Modules {
			out, in := s.linear(mod)
			size := sizes[l][mod]
			all = append(all, projection{layer: l, module: mod, out: out, in: in,
				a: make([]float32, size.rank*in), bt: make([]float32, size.rank*out)})
			p := &all[len(all)-1]
			p.lora = model.LoRA{
				A: kernel.NewPanels(s.format, size.rank, in), B: kernel.NewPanels(s.format, out, size.rank),
				Rank: size.rank, Scale: float32(c.scale(size)),
			}
			a.proj = append(a.proj, p)
			a.index[l][mod] = p
		}
	}
	return a
}

// Projection returns the LoRA of one projection, nil where it is not adapted.
func (a *Adapter) Projection(layer int, m model.Module) *model.LoRA {
	if p := a.index[layer][m]; p != nil {
		return &p.lora
	}
	return nil
}

// Bytes returns the memory that the adapter takes: masters and panels.
func (a *Adapter) Bytes() (n int64) {
	for _, p := range a.proj {
		n += int64(len(p.a)+len(p.bt))*4 + p.lora.A.Bytes() + p.lora.B.Bytes()
	}
	return n
}

// Rank returns the largest rank of a projection: what model.NewPass wants to know.
func (a *Adapter) Rank() int {
	rank := 0
	for _, p := range a.proj {
		rank = max(rank, p.lora.Rank)
	}
	return rank
}

// Config returns the adapter's configuration, with its modules listed.
func (a *Adapter) Config() Config { return a.cfg }

// Repack rounds the masters into the panels. Call it after every change of the
// masters, before the next forward pass.
func (a *Adapter) Repack(x *kernel.Exec) {
	for len(a.rows) < x.Threads() {
		a.rows = append(a.rows, make([]float32, a.Rank()))
	}
	x.Run(len(a.proj), func(i, worker int) {
		a.proj[i].repack(a.rows[worker])
	})
}

// repack packs A and B; row holds at least R values.
func (p *projection) repack(row []float32) {
	rank := p.lora.Rank
	row = row[:rank]
	for r := range rank {
		p.lora.A.SetRowF32(r, p.a[r*p.in:(r+1)*p.in])
	}
	for o := range p.out {
		for r := range row {
			row[r] = p.bt[r*p.out+o]
		}
		p.lora.B.SetRowF32(o, row)
	}
}

// EnableGrad gives every projection its gradients, zeroed. Calling it again
// changes nothing.
func (a *Adapter) EnableGrad() {
	for _, p := range a.proj {
		if p.lora.GradA == nil {
			p.lora.GradA = make([]float32, len(p.a))
			p.lora.GradBT = make([]float32, len(p.bt))
		}
	}
}

// ZeroGrad clears the gradients.
func (a *Adapter) ZeroGrad() {
	for _, p := range a.proj {
		clear(p.lora.GradA)
		clear(p.lora.GradBT)
	}
}

// SetDropout switches dropout on, with masks that depend on seed, or off: an
// evaluation in the middle of training must not drop.
func (a *Adapter) SetDropout(on bool, seed uint64) {
	for _, p := range a.proj {
		p.lora.Seed, p.lora.Dropout = seed, 0
		if on {
			p.lora.Dropout = float32(a.cfg.Dropout)
		}
	}
}

// Params returns the trained tensors in a fixed order: by layer, then module,
// A before B. Gradients are nil before EnableGrad.
func (a *Adapter) Params() []Param {
	ps := make([]Param, 0, 2*len(a.proj))
	for _, p := range a.proj {
		ps = append(ps,
			Param{Name: p.name("lora_A"), Value: p.a, Grad: p.lora.GradA, Shape: []int{p.lora.Rank, p.in}},
			Param{Name: p.name("lora_B"), Value: p.bt, Grad: p.lora.GradBT, Shape: []int{p.out, p.lora.Rank}, Transposed: true})
	}
	return ps
}

// Parameters returns the number of trained values.
func (a *Adapter) Parameters() int64 {
	var n int64
	for _, p := range a.proj {
		n += int64(len(p.a) + len(p.bt))
	}
	return n
}

// Zero reports whether every B is zero, so that the adapter is the base itself.
func (a *Adapter) Zero() bool {
	for _, p := range a.proj {
		for _, v := range p.bt {
			if v != 0 {
				return false
			}
		}
	}
	return true
}

// name returns a tensor's name in a PEFT file.
func (p *projection) name(matrix string) string {
	return fmt.Sprintf("base_model.model.%s.%s.weight", p.path(), matrix)
}

// path returns the projection's name in the base.
func (p *projection) path() string { return modulePath(p.layer, p.module) }

func modulePath(layer int, m model.Module) string {
	return fmt.Sprintf("model.layers.%d.%s.%s", layer, parent(m), m)
}

// parent returns the block that holds a module in Hugging Face's names.
func parent(m model.Module) string {
	if m <= model.OProj {
		return "self_attn"
	}
	return "mlp"
}

// uniform returns a number in [0, 1) with 53 bits, a pure function of its
// arguments.
func uniform(seed, tensor, element uint64) float64 {
	k := mix(mix(mix(seed)^tensor) ^ element)
	return float64(k>>11) / (1 << 53)
}

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
