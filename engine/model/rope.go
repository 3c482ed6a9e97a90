package model

import (
	"math"

	"dlm/engine/kernel"
	"dlm/engine/weights"
)

// rope holds the angles of rotary position embeddings (Su et al. 2021, arXiv
// 2104.09864), in Hugging Face's pairing: channel i turns with channel i + D/2.
type rope struct {
	half    int
	invFreq []float32 // [D/2]
	cos     []float32 // [positions, D/2], grown as positions are met
	sin     []float32
}

func newRope(c weights.Config) rope {
	half := c.HeadDim / 2
	r := rope{half: half, invFreq: make([]float32, half)}
	for i := range half {
		// In f32 like the reference: theta^(2i/D) is rounded before the division.
		p := float32(kernel.Pow64(c.RopeTheta, float64(float32(2*i)/float32(c.HeadDim))))
		r.invFreq[i] = 1 / p
	}
	if s := c.RopeScaling; s != nil {
		for i, f := range r.invFreq {
			r.invFreq[i] = llama3Frequency(f, s)
		}
	}
	return r
}

// llama3Frequency stretches low frequencies by Factor, keeps high ones and
// blends between (Llama 3.1's reference code; transformers'
// _compute_llama3_parameters).
func llama3Frequency(f float32, s *weights.RopeScaling) float32 {
	wavelen := 2 * math.Pi / float64(f)
	low := float64(s.OriginalMaxSeq) / s.LowFreqFactor
	high := float64(s.OriginalMaxSeq) / s.HighFreqFactor
	switch {
	case wavelen > low:
		return float32(float64(f) / s.Factor)
	case wavelen < high:
		return f
	}
	smooth := (float64(s.OriginalMaxSeq)/wavelen - s.LowFreqFactor) / (s.HighFreqFactor - s.LowFreqFactor)
	return float32(float64((1-smooth)*float64(f)/s.Factor) + float64(smooth*float64(f)))
}

// grow makes the tables cover positions 0..n-1.
func (r *rope) grow(n int) {
	have := len(r.cos) / r.half
	if n <= have {
		return
	}
	n = max(n, have+have/2, 256)
	cos, sin := make([]float32, n*r.half), make([]float32, n*r.half)
	copy(cos, r.cos)
	copy(sin, r.sin)
	for p := have; p < n; p++ {
		for i, f := range r.invFreq {
			a := float64(float32(p) * f) // the angle itself is f32
			s, c := kernel.SinCos64(a)
			cos[p*r.half+i], sin[p*r.half+i] = float32(c), float32(s)
		}
	}
	r.cos, r.sin = cos, sin
}

// angles returns the cosines and sines of a position, [D/2] each.
func (r *rope) angles(pos int) (cos, sin []float32) {
	return r.cos[pos*r.half : (pos+1)*r.half], r.sin[pos*r.half : (pos+1)*r.half]
}

// taskRows is the number of rows that a task on rows takes: worth handing out.
const taskRows = 16

// turn turns every head of src [N, heads*D] by its row's position into dst,
// rounded to its mode; an f32 dst may be src itself. Sign -1 turns gradients
// back: the transpose of a rotation is the rotation by the opposite angle.
//
//	v1' = v1 cos - v2 sin;  v2' = v2 cos + v1 sin
func (p *Pass) turn(dst kernel.Operand, src []float32, sign float32) {
	per := max(1, min(taskRows, dst.Rows/p.m.x.Threads())) // a few rows are split too
	p.parallel((dst.Rows+per-1)/per, p.tasks.turn, job{o: dst, v: src, s: sign, in: per})
}

// turnAll turns q and k into a.q and a.k and rounds v into a.v, all in one region: a
// few rows take less time than a region.
func (p *Pass) turnAll(a *activations, q, k, v []float32) {
	per := max(1, min(taskRows, p.n/p.m.x.Threads()))
	p.parallel((p.n+per-1)/per, p.tasks.turnAll, job{a: a, v: q, w: k, z: v, in: per})
}

func (p *Pass) turnAllTask(t, _ int) {
	j, c := &p.job, &p.m.cfg
	qDim, kvDim := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	lo, hi := t*j.in, min((t+1)*j.in, p.n)
	for i := lo; i < hi; i++ {
		cos, sin := p.m.rope.angles(p.rows[i].pos)
		p.m.x.Rope(j.a.q, i, j.v[i*qDim:(i+1)*qDim], cos, sin, 1)
		p.m.x.Rope(j.a.k, i, j.w[i*kvDim:(i+1)*kvDim], cos, sin, 1)
	}
	p.m.x.RoundRows(j.a.v.Slice(lo, hi), j.z[lo*kvDim:hi*kvDim], kvDim)
}

func (p *Pass) turnTask(t, _ int) {
	j := &p.job
	wide := j.o.Cols
	for i := t * j.in; i < min((t+1)*j.in, j.o.Rows); i++ {
		cos, sin := p.m.rope.angles(p.rows[i].pos)
		p.m.x.Rope(j.o, i, j.v[i*wide:(i+1)*wide], cos, sin, j.s)
	}
}
