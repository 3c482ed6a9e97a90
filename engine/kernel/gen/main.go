// Command gen writes the assembly of package kernel and the tables that list
// it. Run it with `go generate ./engine/kernel`; a test checks that the
// committed files are what it writes.
//
// One description serves several instruction sets: tiles are emitted for
// VDPBF16PS, for f32 on 512 bits and for f32 on 256 bits; row functions for 16
// virtual lanes, which are one ZMM register or two YMM registers. arm64's set
// is written by the files that begin with neon.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	dir := flag.String("dir", ".", "where to write")
	flag.Parse()
	for name, text := range Files() {
		path := filepath.Join(*dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, text, 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "gen:", err)
			os.Exit(1)
		}
	}
}

// Files returns the generated files by name.
func Files() map[string][]byte {
	d := newDecls()
	files := map[string][]byte{}
	add := func(name string, emit func(*asm)) {
		a := newAsm(d)
		emit(a)
		files[name] = a.text()
	}
	add("tile_bf16_amd64.s", func(a *asm) { tiles(a, dp) })
	add("tile_f32x16_amd64.s", func(a *asm) { tiles(a, z32) })
	add("tile_f32x8_amd64.s", func(a *asm) { tiles(a, y32) })
	add("fused_amd64.s", fused)
	add("tall_amd64.s", talls)
	add("share_amd64.s", func(a *asm) { shares(a); streams(a) })
	add("decode_amd64.s", decodes)
	add("group_amd64.s", groups)
	add("transpose_amd64.s", transposes)
	add("transpose_f32x8_amd64.s", func(a *asm) { transposes8(a); transpose8Consts(a) })
	add("outer_amd64.s", outers)
	add("rows_f32x16_amd64.s", func(a *asm) { rows(a, rowsZ); rounding(a, roundBF16); rounding(a, roundZ); attention(a) })
	add("rows_f32x8_amd64.s", func(a *asm) { rows(a, rowsY); rounding(a, roundY) })
	files["kernels_amd64.go"] = d.text()
	files["ceiling/loops_amd64.s"], files["ceiling/loops_amd64.go"] = ceilings()
	arm := &neonDecls{}
	addNeon := func(name string, emit func(*neonAsm)) {
		a := newNeon(arm)
		emit(a)
		files[name] = a.text()
	}
	addNeon("neon_tile_arm64.s", neonMultiplies)
	addNeon("neon_outer_arm64.s", neonOuters)
	addNeon("neon_decode_arm64.s", neonDecodes)
	addNeon("neon_rows_arm64.s", neonRows)
	files["kernels_arm64.go"] = arm.file()
	return files
}
