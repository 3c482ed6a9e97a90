package weights

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	oracle "github.com/nlpodyssey/safetensors"

	"dlm/engine/kernel"
)

// smallTensors is the content of testdata/small.safetensors, which the reference
// implementation wrote.
func smallTensors() []Named {
	half := func(f ...float32) (b []byte) {
		for _, v := range f {
			b = append(b, le16(v)...)
		}
		return b
	}
	var brain []byte
	for _, v := range []float32{0.5, -1.5} {
		brain = binary.LittleEndian.AppendUint16(brain, kernel.BF16FromF32(v))
	}
	return []Named{
		NamedF32("z.weight", []int{2, 3}, []float32{1, -2.5, 3.25, 0, 1e-3, -7}),
		{"a.weight", F16, []int{4}, half(1, 2, -0.5, 65504)},
		{"a.b<&>.weight", BF16, []int{2, 1}, brain},
		NamedF32("b.weight", []int{1}, []float32{9}),
		NamedF32("scalar", nil, []float32{4}),
	}
}

func TestWriteSafetensorsEqualsReference(t *testing.T) {
	want, err := os.ReadFile("testdata/small.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	tensors := smallTensors()
	path := filepath.Join(t.TempDir(), "s.safetensors")
	for range 2 {
		if err := WriteSafetensors(path, tensors, map[string]string{"format": "pt"}); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("wrote\n%q\nexpected\n%q", got, want)
		}
		slices.Reverse(tensors) // the order of the arguments must not matter
	}
}

func TestSafetensorsReadsReference(t *testing.T) {
	s, err := OpenSafetensors("testdata/small.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if d := cmp.Diff([]string{"b.weight", "scalar", "z.weight", "a.b<&>.weight", "a.weight"}, s.Names()); d != "" {
		t.Error(d)
	}
	if s.Metadata()["format"] != "pt" {
		t.Error("metadata", s.Metadata())
	}
	for name, want := range map[string][]float32{"z.weight": {1, -2.5, 3.25, 0, 1e-3, -7}, "a.weight": {1, 2, -0.5, 65504}, "a.b<&>.weight": {0.5, -1.5}, "scalar": {4}} {
		w, err := s.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, w.F32()); d != "" {
			t.Error(name, d)
		}
	}
	if _, err := s.Tensor("none"); err == nil {
		t.Error("a tensor that is not there was returned")
	}
}

func TestSafetensorsAgreesWithOracle(t *testing.T) {
	for _, name := range []string{"llama-tied/model.safetensors", "llama-tied-bf16/model-00001-of-00002.safetensors", "qwen2/model.safetensors", "qwen2/adapter/adapter_model.safetensors"} {
		path := filepath.FromSlash(tiny + name)
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := oracle.Deserialize(raw)
		if err != nil {
			t.Fatal(err)
		}
		got, err := OpenSafetensors(path)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Close()
		if want.Len() != len(got.names) {
			t.Errorf("%s: %d tensors, expected %d", name, len(got.names), want.Len())
		}
		for _, n := range want.Names() {
			o, _ := want.Tensor(n)
			w, err := got.Tensor(n)
			if err != nil {
				t.Fatal(err)
			}
			if w.Type.String() != o.DType().String() || !bytes.Equal(w.data, o.Data()) || len(w.Shape) != len(o.Shape()) {
				t.Errorf("%s: %s is %s %v, expected %s %v", name, n, w.Type, w.Shape, o.DType(), o.Shape())
			}
		}
	}
}

// st builds a file from a header and so many bytes of data.
func st(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func TestSafetensorsHostile(t *testing.T) {
	huge := binary.LittleEndian.AppendUint64(nil, math.MaxUint64)
	for name, c := range map[string]struct {
		data  []byte
		parts []string
	}{
		"empty":           {nil, []string{"cut short"}},
		"header length":   {append(huge, make([]byte, 64)...), []string{"header"}},
		"not JSON":        {st("hello", 0), []string{"JSON object"}},
		"array":           {st("[]", 0), []string{"JSON object"}},
		"open":            {st(`{"a":`, 0), []string{"header"}},
		"more after":      {st(`{}{}`, 0), []string{"more after"}},
		"twice":           {st(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2), []string{`"a"`, "twice"}},
		"metadata twice":  {st(`{"__metadata__":{},"__metadata__":{}}`, 0), []string{"twice"}},
		"metadata number": {st(`{"__metadata__":{"a":1}}`, 0), []string{"__metadata__"}},
		"dtype":           {st(`{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}`, 4), []string{`"a"`, "F33"}},
		"no shape":        {st(`{"a":{"dtype":"F32","data_offsets":[0,4]}}`, 4), []string{`"a"`, "shape"}},
		"one offset":      {st(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}`, 4), []string{"data_offsets"}},
		"unknown member":  {st(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}`, 4), []string{`"a"`, "x"}},
		"negative shape":  {st(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4), []string{"shape"}},
		"overflow":        {st(`{"a":{"dtype":"F32","shape":[2147483647,2147483647,4],"data_offsets":[0,4]}}`, 4), []string{"too large"}},
		"backwards":       {st(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, 4), []string{"outside"}},
		"outside":         {st(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 4), []string{`"a"`, "cut short"}},
		"size":            {st(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 4), []string{"needs 8 bytes"}},
		"hole":            {st(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2), []string{"hole"}},
		"overlap":         {st(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3), []string{"overlap"}},
		"bytes left over": {st(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 2), []string{"end at byte 1"}},
	} {
		_, err := parseSafetensors(c.data)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		expectError(t, err, c.parts...)
	}
}

func TestSafetensorsOtherDtypes(t *testing.T) {
	s, err := parseSafetensors(st(`{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}`, 8))
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Tensor("a")
	expectError(t, err, `"a"`, "I64", "F32, F16, BF16")
}

func TestWriteSafetensorsRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.safetensors")
	w := NamedF32("a", []int{2}, []float32{1, 2})
	expectError(t, WriteSafetensors(path, []Named{w, w}, nil), `"a"`, "twice")
	expectError(t, WriteSafetensors(path, []Named{filled("q", Q4_1, []int{1, 32})}, nil), `"q"`, "Q4_1")
	expectError(t, WriteSafetensors(path, []Named{{"__metadata__", F32, []int{0}, nil}}, nil), "reserved")
	expectError(t, WriteSafetensors(path, []Named{NamedF32("a", []int{3}, []float32{1})}, nil), "4 bytes")
	expectError(t, WriteSafetensors(filepath.Join(dir, "no", "s"), []Named{w}, nil), "no")
	left, _ := os.ReadDir(dir)
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	// A failed write leaves the earlier file as it was.
	if err := os.WriteFile(path, []byte("before"), 0o644); err != nil {
		t.Fatal(err)
	}
	_ = WriteSafetensors(path, []Named{w, w}, nil)
	if got, _ := os.ReadFile(path); string(got) != "before" {
		t.Error("the earlier file was changed")
	}
	if err := WriteSafetensors(path, nil, nil); err != nil {
		t.Fatal(err)
	}
	if s, err := OpenSafetensors(path); err != nil || len(s.Names()) != 0 {
		t.Error("an empty file does not read back:", err)
	}
}

// TestFullDisk writes more than a small file system holds: the error says so, and
// the earlier file is whole.
func TestFullDisk(t *testing.T) {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("needs to mount a small tmpfs, which takes root on linux")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a tmpfs here: %v %s", err, out)
	}
	defer exec.Command("umount", "-l", dir).Run()
	path := filepath.Join(dir, "s.safetensors")
	if err := WriteSafetensors(path, smallTensors(), nil); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	expectError(t, WriteSafetensors(path, []Named{filled("big", F32, []int{100_000})}, nil), path, "disk is full", "unchanged")
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Error("the earlier file was lost:", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}
