package kernel

import (
	"testing"
	"unsafe"
)

// Assembly reads these structs by offset.
func TestArgumentOffsets(t *testing.T) {
	var n neonArgs
	var u unpackArgs
	var r rowArgs
	for name, c := range map[string]struct{ got, want uintptr }{
		"c": {unsafe.Offsetof(n.c), 0}, "ldc": {unsafe.Offsetof(n.ldc), 8}, "a": {unsafe.Offsetof(n.a), 16}, "lda": {unsafe.Offsetof(n.lda), 24},
		"b": {unsafe.Offsetof(n.b), 32}, "ldb": {unsafe.Offsetof(n.ldb), 40}, "k": {unsafe.Offsetof(n.k), 48}, "scale": {unsafe.Offsetof(n.scale), 56},
		"lds": {unsafe.Offsetof(n.lds), 64}, "sums": {unsafe.Offsetof(n.sums), 72}, "ldsums": {unsafe.Offsetof(n.ldsums), 80},
		"zero": {unsafe.Offsetof(n.zero), 88}, "work": {unsafe.Offsetof(n.work), 96},
		"unpack dst": {unsafe.Offsetof(u.dst), 0}, "unpack src": {unsafe.Offsetof(u.src), 8}, "unpack scales": {unsafe.Offsetof(u.scales), 16},
		"unpack count": {unsafe.Offsetof(u.count), 24}, "unpack stride": {unsafe.Offsetof(u.stride), 32},
		"unpack vectors": {unsafe.Offsetof(u.vectors), 40}, "unpack minus": {unsafe.Offsetof(u.minus), 48},
		"row dst": {unsafe.Offsetof(r.dst), 0}, "row dst2": {unsafe.Offsetof(r.dst2), 8}, "row p0": {unsafe.Offsetof(r.p0), 16},
		"row p1": {unsafe.Offsetof(r.p1), 24}, "row p2": {unsafe.Offsetof(r.p2), 32}, "row n": {unsafe.Offsetof(r.n), 40},
		"row s0": {unsafe.Offsetof(r.s0), 48}, "row s1": {unsafe.Offsetof(r.s1), 52}, "row lanes": {unsafe.Offsetof(r.lanes), 56},
	} {
		if c.got != c.want {
			t.Errorf("%s is at %d, the generator uses %d", name, c.got, c.want)
		}
	}
}
