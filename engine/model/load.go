package model

import (
	"fmt"
	"math"

	"dlm/engine/kernel"
	"dlm/engine/weights"
)

// linear is one frozen projection.
type linear struct {
	w       *kernel.Panels // [out, in]
	bias    []float32      // [out], nil when there is none
	out, in int
}

// layer is one transformer layer's frozen weights.
type layer struct {
	attnNorm []float32 // [C]
	mlpNorm  []float32 // [C]
	qNorm    []float32 // [D], nil unless the family normalises heads (Config.QKNorm)
	kNorm    []float32 // [D]
	proj     [NumModules]linear
	after    [NumModules][]*kernel.Panels // weights of the multiply after the one that ends with a module
}

// Model is a base model in memory: frozen weights, packed once at their own bit
// width for the multiply kernels. It is safe for concurrent use by passes that
// do not run at the same time on one Exec.
type Model struct {
	cfg    weights.Config
	x      *kernel.Exec
	mode   kernel.Mode
	embed  *kernel.Panels // [V, C]
	head   *kernel.Panels // [V, C]; the embedding itself when tied
	norm   []float32      // [C]
	layers []layer
	rope   rope
}

// Load packs the checkpoint's weights. In kernel.F32 mode they are dequantised
// to f32, for comparisons with reference values; otherwise they keep their width.
func Load(ck *weights.Checkpoint, x *kernel.Exec, mode kernel.Mode) (*Model, error) {
	cfg := ck.Config
	if cfg.HeadDim%16 != 0 || cfg.HeadDim > 256 {
		return nil, fmt.Errorf("%s: head size %d; the attention kernels need a multiple of 16, at most 256", ck.Path, cfg.HeadDim)
	}
	m := &Model{cfg: cfg, x: x, mode: mode}
	l := loader{ck: ck, x: x, mode: mode}
	m.embed = l.panels("model.embed_tokens.weight")
	m.head = m.embed
	if !cfg.Tied {
		m.head = l.panels("lm_head.weight")
	}
	m.norm = l.vector("model.norm.weight")
	for i := range cfg.Layers {
		m.layers = append(m.layers, l.layer(m, i))
	}
	if l.err != nil {
		return nil, l.err
	}
	m.linkLayers()
	m.rope = newRope(cfg)
	return m, nil
}

// linkLayers notes which weights are multiplied after which.
func (m *Model) linkLayers() {
	for i := range m.layers {
		ly := &m.layers[i]
		weights := func(l *layer, mods ...Module) (ws []*kernel.Panels) {
			for _, mod := range mods {
				ws = append(ws, l.proj[mod].w)
			}
			return ws
		}
		ly.after[VProj] = weights(ly, afterV[:]...)
		ly.after[OProj] = weights(ly, afterO[:]...)
		ly.after[UpProj] = weights(ly, afterUp[:]...)
		ly.after[DownProj] = []*kernel.Panels{m.head}
		if i+1 < len(m.layers) {
			ly.after[DownProj] = weights(&m.layers[i+1], afterDown[:]...)
		}
	}
}

// loader collects the first error, so that Load reads as a list of what there is.
type loader struct {
	ck   *weights.Checkpoint
	x    *kernel.Exec
	mode kernel.Mode
	err  error
}

func (l *loader) panels(name string) *kernel.Panels {
	if l.err != nil {
		return nil
	}
	p, err := l.ck.Panels(name, l.mode, l.x)
	l.err = err
	return p
}

func (l *loader) vector(name string) []float32 {
	if l.err != nil {
		return nil
	}
	v, err := l.ck.Vector(name)
	l.err = err
	return v
}

func (l *loader) layer(m *Model, i int) layer {
	prefix := fmt.Sprintf("model.layers.%d.", i)
	ly := layer{
		attnNorm: l.vector(prefix + "input_layernorm.weight"),
		mlpNorm:  l.vector(prefix + "post_attention_layernorm.weight"),
	}
	if m.cfg.QKNorm {
		ly.qNorm, ly.kNorm = l.vector(prefix+"self_attn.q_norm.weight"), l.vector(prefix+"self_attn.k_norm.weight")
	}
	for mod := range NumModules {
		name := prefix + mod.parent() + "." + mod.String()
		out, in := m.LinearShape(mod)
		lin := linear{w: l.panels(name + ".weight"), out: out, in: in}
		if m.cfg.QKVBias && mod <= VProj {
			lin.bias = l.vector(name + ".bias")
		}
		if l.err == nil && (lin.w.N != out || lin.w.K != in) {
			l.err = fmt.Errorf("%s: tensor %s.weight is %d x %d; the configuration asks for %d x %d", l.ck.Path, name, lin.w.N, lin.w.K, out, in)
		}
		ly.proj[mod] = lin
	}
	return ly
}

// Config returns the base's shape.
func (m *Model) Config() weights.Config { return m.cfg }

// Exec returns the kernels and threads that the model runs on.
func (m *Model) Exec() *kernel.Exec { return m.x }

// Mode returns the precision of multiply operands.
func (m *Model) Mode() kernel.Mode { return m.mode }

// LinearShape returns the rows and columns of a projection's weight.
func (m *Model) LinearShape(mod Module) (out, in int) { return linearShape(m.cfg, mod) }

func linearShape(c weights.Config, mod Module) (out, in int) {
	switch mod {
	case QProj:
		return c.Heads * c.HeadDim, c.Hidden
	case KProj, VProj:
		return c.KVHeads * c.HeadDim, c.Hidden
	case OProj:
		return c.Hidden, c.Heads * c.HeadDim
	case GateProj, UpProj:
		return c.FFN, c.Hidden
	default:
		return c.Hidden, c.FFN
	}
}

// Bytes returns the memory that the packed weights take.
func (m *Model) Bytes() int64 {
	n := m.embed.Bytes() + int64(len(m.norm))*4
	if m.head != m.embed {
		n += m.head.Bytes()
	}
	for _, ly := range m.layers {
		n += int64(len(ly.attnNorm)+len(ly.mlpNorm)+len(ly.qNorm)+len(ly.kNorm)) * 4
		for _, p := range ly.proj {
			n += p.w.Bytes() + int64(len(p.bias))*4
		}
	}
	return n
}

// attentionScale is 1/sqrt(D) (Vaswani et al. 2017, equation 1).
func attentionScale(headDim int) float32 { return float32(1 / math.Sqrt(float64(headDim))) }
