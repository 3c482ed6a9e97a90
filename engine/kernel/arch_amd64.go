package kernel

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// The assembly kernel sets, best first.
var (
	simdBF16 = simd{
		blocks: blocksBF16,
		bf16:   tiling{tiles: &tilesBF16, vecCols: 16, maxCols: 64},
		f32:    tiling{tiles: &tilesF32x16, vecCols: 16, maxCols: 64},
		fused:  true,
		expand: expand512,
		outer:  &outerTilesF32x16,
	}
	simd512 = simd{
		blocks: blockFuncs{transpose32: transpose32},
		bf16:   tiling{tiles: &tilesF32x16, vecCols: 16, maxCols: 64, widenA: true},
		f32:    tiling{tiles: &tilesF32x16, vecCols: 16, maxCols: 64},
		expand: expand512,
		outer:  &outerTilesF32x16,
	}
	simdAVX2 = simd{
		bf16:   tiling{tiles: &tilesF32x8, vecCols: 8, maxCols: 16, widenA: true},
		f32:    tiling{tiles: &tilesF32x8, vecCols: 8, maxCols: 16},
		expand: expand256,
		outer:  &outerTilesF32x8,
	}

	setBF16 = simdBF16.set("avx512bf16", "AVX-512 with VDPBF16PS", rowsBF16x16, ropeBF16x16)
	set512  = simd512.set("avx512", "AVX-512, f32 multiply-adds", rowsF32x16, ropeIntF32x16)
	setAVX2 = simdAVX2.set("avx2", "AVX2 with FMA, f32 multiply-adds", rowsF32x8, ropeIntF32x8)
)

// set makes the kernel set of v with these row functions and this rope for bf16.
func (v *simd) set(name, uses string, rows [numRowOps]func(*rowArgs), rope func(*ropeArgs)) *set {
	s := &set{name: name, uses: uses, panel: v.panel, panelT: v.panelT, block: v.block, outer: v.outerAccum, blocks: v.blocks, rows: rows,
		rope: [2]func(*ropeArgs){BF16: rope, F32: ropeF32x16}, adam: adamF32x16, dots: headDotsF32x16, scaleRows: scaleRowsF32x16}
	if v.f32.vecCols == 8 {
		s.rope[F32], s.adam, s.dots, s.scaleRows = ropeF32x8, adamF32x8, headDotsF32x8, scaleRowsF32x8
	}
	if v.fused {
		s.share, s.streams, s.halves = shareRun, [2]func(*streamArgs){streamsBF16_1, streamsBF16_2}, tallFits
	}
	return s
}

func archEntries() []entry {
	return []entry{
		{set: setBF16, missing: func() string { return lacks(avx512Needs(), cpu.X86.HasAVX512BF16, "AVX512_BF16") }},
		{set: set512, missing: avx512Needs},
		{set: setAVX2, missing: func() string { return lacks("", cpu.X86.HasAVX2 && cpu.X86.HasFMA && hasF16C(), "AVX2, FMA or F16C") }},
	}
}

func avx512Needs() string {
	x := &cpu.X86
	return lacks("", x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL && x.HasAVX2 && x.HasFMA && hasF16C(), "AVX-512 (F, BW, DQ, VL)")
}

// lacks adds a missing feature to what is missing before it.
func lacks(before string, has bool, name string) string {
	switch {
	case before != "":
		return before
	case has:
		return ""
	}
	return name
}

// hideTile is hide for tile arguments.
func hideTile(a *tileArgs) *tileArgs {
	u := uintptr(unsafe.Pointer(a))
	return *(**tileArgs)(unsafe.Pointer(&u))
}
