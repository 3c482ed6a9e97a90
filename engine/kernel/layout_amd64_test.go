package kernel

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"unsafe"
)

// Assembly reads these structs by offset.
func TestArgumentOffsets(t *testing.T) {
	var ta tileArgs
	var da decodeArgs
	var ra rowArgs
	var sa softmaxArgs
	var st streamArgs
	var na nestedArgs
	var pa ropeArgs
	var aa adamArgs
	for name, c := range map[string]struct{ got, want uintptr }{
		"tile c": {unsafe.Offsetof(ta.c), 0}, "tile ldc": {unsafe.Offsetof(ta.ldc), 8}, "tile a": {unsafe.Offsetof(ta.a), 16},
		"tile lda": {unsafe.Offsetof(ta.lda), 24}, "tile b": {unsafe.Offsetof(ta.b), 32}, "tile ldb": {unsafe.Offsetof(ta.ldb), 40},
		"tile k": {unsafe.Offsetof(ta.k), 48}, "tile scale": {unsafe.Offsetof(ta.scale), 56}, "tile lds": {unsafe.Offsetof(ta.lds), 64},
		"tile sums": {unsafe.Offsetof(ta.sums), 72}, "tile ldsums": {unsafe.Offsetof(ta.ldsums), 80}, "tile zero": {unsafe.Offsetof(ta.zero), 88},
		"tile table": {unsafe.Offsetof(ta.table), 96}, "tile loops": {unsafe.Offsetof(ta.loops), 104},
		"stream a": {unsafe.Offsetof(st.a), 0}, "stream b": {unsafe.Offsetof(st.b), 32}, "stream c": {unsafe.Offsetof(st.c), 64}, "stream k": {unsafe.Offsetof(st.k), 72}, "stream stride": {unsafe.Offsetof(st.stride), 80}, "stream scale": {unsafe.Offsetof(st.scale), 88},
		"tile queue": {unsafe.Offsetof(ta.queue), 152},
		"tile ahead": {unsafe.Offsetof(ta.ahead), 112}, "tile limit": {unsafe.Offsetof(ta.limit), 120},
		"tile ahead2": {unsafe.Offsetof(ta.ahead2), 128}, "tile limit2": {unsafe.Offsetof(ta.limit2), 136}, "tile shift": {unsafe.Offsetof(ta.shift), 144},
		"nested dst": {unsafe.Offsetof(na.dst), 0}, "nested src": {unsafe.Offsetof(na.src), 8}, "nested code": {unsafe.Offsetof(na.code), 16},
		"nested scale": {unsafe.Offsetof(na.scale), 24}, "nested count": {unsafe.Offsetof(na.count), 32}, "nested first": {unsafe.Offsetof(na.first), 40},
		"nested index": {unsafe.Offsetof(na.index), 48}, "nested offset": {unsafe.Offsetof(na.offset), 56}, "nested last": {unsafe.Offsetof(na.last), 60},
		"decode dst": {unsafe.Offsetof(da.dst), 0}, "decode src": {unsafe.Offsetof(da.src), 8}, "decode table": {unsafe.Offsetof(da.table), 16},
		"decode count": {unsafe.Offsetof(da.count), 24}, "decode stride": {unsafe.Offsetof(da.stride), 32},
		"decode vectors": {unsafe.Offsetof(da.vectors), 40}, "decode bias": {unsafe.Offsetof(da.bias), 48},
		"row dst": {unsafe.Offsetof(ra.dst), 0}, "row dst2": {unsafe.Offsetof(ra.dst2), 8}, "row p0": {unsafe.Offsetof(ra.p0), 16},
		"row p1": {unsafe.Offsetof(ra.p1), 24}, "row p2": {unsafe.Offsetof(ra.p2), 32}, "row n": {unsafe.Offsetof(ra.n), 40},
		"softmax s": {unsafe.Offsetof(sa.s), 0}, "softmax lds": {unsafe.Offsetof(sa.lds), 8}, "softmax p": {unsafe.Offsetof(sa.p), 16},
		"softmax ldp": {unsafe.Offsetof(sa.ldp), 24}, "softmax rows": {unsafe.Offsetof(sa.rows), 32}, "softmax seen": {unsafe.Offsetof(sa.seen), 40},
		"softmax m": {unsafe.Offsetof(sa.m), 48}, "softmax sum": {unsafe.Offsetof(sa.sum), 56}, "softmax delta": {unsafe.Offsetof(sa.delta), 64},
		"softmax scale": {unsafe.Offsetof(sa.scale), 72}, "softmax more": {unsafe.Offsetof(sa.more), 80},
		"row s0": {unsafe.Offsetof(ra.s0), 48}, "row s1": {unsafe.Offsetof(ra.s1), 52}, "row lanes": {unsafe.Offsetof(ra.lanes), 56},
		"rope dst": {unsafe.Offsetof(pa.dst), 0}, "rope src": {unsafe.Offsetof(pa.src), 8}, "rope cos": {unsafe.Offsetof(pa.cos), 16},
		"rope sin": {unsafe.Offsetof(pa.sin), 24}, "rope heads": {unsafe.Offsetof(pa.heads), 32}, "rope vectors": {unsafe.Offsetof(pa.vectors), 40},
		"rope sign": {unsafe.Offsetof(pa.sign), 48},
		"adam p":    {unsafe.Offsetof(aa.p), 0}, "adam m": {unsafe.Offsetof(aa.m), 8}, "adam v": {unsafe.Offsetof(aa.v), 16},
		"adam g": {unsafe.Offsetof(aa.g), 24}, "adam n": {unsafe.Offsetof(aa.n), 32}, "adam scalars": {unsafe.Offsetof(aa.k), 40},
	} {
		if c.got != c.want {
			t.Errorf("%s is at %d, the generator uses %d", name, c.got, c.want)
		}
	}
}

// The committed assembly is what the committed generator writes.
func TestGenerated(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the generator")
	}
	dir := t.TempDir()
	if out, err := exec.Command("go", "run", "./gen", "-dir", dir).CombinedOutput(); err != nil {
		t.Fatalf("go run ./gen: %v\n%s", err, out)
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		files++
		fresh, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		committed, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(fresh, committed) {
			t.Errorf("%s is not what the generator writes: run go generate ./engine/kernel (%v)", name, err)
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Fatalf("the generator wrote nothing: %v", err)
	}
}
