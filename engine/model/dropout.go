package model

import "dlm/engine/kernel"

// Dropout masks come from a counter-based generator over (seed, step, example,
// position, module, layer, channel), so that they depend on neither batch nor
// order, and the backward pass makes them again instead of keeping them.

// dropped returns the run's rows of xo after dropout; xo itself when there is none.
func (p *Pass) dropped(xo kernel.Operand, r run, lo *LoRA, ly int, mod Module) kernel.Operand {
	rows := xo.Slice(r.lo, r.hi)
	if lo.Dropout == 0 || !p.train {
		return rows
	}
	out := reshape(p.fwd.drop, rows.Rows, rows.Cols)
	p.parallel(rows.Rows, p.tasks.drop, job{o: rows, o2: out, r: r, lo: lo, ly: ly, mod: mod})
	return out
}

func (p *Pass) dropTask(i, _ int) {
	j := &p.job
	rows, out := &j.o, &j.o2
	key := p.dropKey(p.rows[j.r.lo+i], j.lo, j.ly, j.mod)
	for c := range rows.Cols {
		m := j.lo.keep(key, c)
		if rows.Mode == kernel.F32 {
			out.F[i*out.Stride+c] = rows.F[i*rows.Stride+c] * m
		} else {
			out.B[i*out.Stride+c] = kernel.BF16FromF32(kernel.F32FromBF16(rows.B[i*rows.Stride+c]) * m)
		}
	}
}

func (p *Pass) dropKey(row rowInfo, lo *LoRA, ly int, mod Module) uint64 {
	k := mix(lo.Seed ^ 0x9e3779b97f4a7c15)
	k = mix(k ^ uint64(p.step))
	k = mix(k ^ uint64(p.segs[row.seg].Example))
	k = mix(k ^ uint64(row.pos))
	return mix(k ^ uint64(ly)<<8 ^ uint64(mod))
}

// keep returns 0 for a dropped channel and 1/(1-p) for a kept one.
func (lo *LoRA) keep(key uint64, channel int) float32 {
	u := float32(mix(key+uint64(channel))>>40) / (1 << 24)
	if u < lo.Dropout {
		return 0
	}
	return 1 / (1 - lo.Dropout)
}

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
