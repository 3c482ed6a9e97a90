package weights

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	oracle "github.com/gpustack/gguf-parser-go"
)

// TestGGUFAgreesWithOracle reads the committed files with gguf-parser-go too.
func TestGGUFAgreesWithOracle(t *testing.T) {
	for _, name := range []string{"llama-tied/q4_1.gguf", "llama-tied/mixed.gguf", "llama3-untied/q8_0.gguf", "qwen2/q8_0.gguf"} {
		path := filepath.FromSlash(tiny + name)
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := oracle.ParseGGUFFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := OpenGGUF(path)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Close()
		if len(got.Metadata) != len(want.Header.MetadataKV) || len(got.names) != len(want.TensorInfos) {
			t.Errorf("%s: %d metadata entries and %d tensors, expected %d and %d", name, len(got.Metadata), len(got.names), len(want.Header.MetadataKV), len(want.TensorInfos))
		}
		for i, kv := range want.Header.MetadataKV {
			if got.Metadata[i].Key != kv.Key {
				t.Errorf("%s: key %q, expected %q", name, got.Metadata[i].Key, kv.Key)
			}
			if kv.ValueType != oracle.GGUFMetadataValueTypeArray && !cmp.Equal(got.Metadata[i].Value, kv.Value) {
				t.Errorf("%s: %s is %v, expected %v", name, kv.Key, got.Metadata[i].Value, kv.Value)
			}
		}
		for _, info := range want.TensorInfos {
			w, err := got.Tensor(info.Name)
			if err != nil {
				t.Fatal(err)
			}
			at := want.TensorDataStartOffset + int64(info.Offset)
			if !bytes.Equal(w.data, raw[at:at+int64(info.Bytes())]) {
				t.Errorf("%s: %s holds other bytes than the oracle says", name, info.Name)
			}
			if n := len(info.Dimensions); n != len(w.Shape) || int(info.Dimensions[0]) != w.Cols || n == 2 && int(info.Dimensions[1]) != w.Rows {
				t.Errorf("%s: %s has shape %v, expected %v reversed", name, info.Name, w.Shape, info.Dimensions)
			}
		}
	}
}

func TestGGUFRoundTrip(t *testing.T) {
	meta, tensors := tinyGGUF()
	meta = append(meta, KV{"general.alignment", uint32(64)}, KV{"x.u8", uint8(200)}, KV{"x.i8", int8(-3)}, KV{"x.u16", uint16(60000)}, KV{"x.i16", int16(-9)},
		KV{"x.u64", uint64(1 << 60)}, KV{"x.i64", int64(-1 << 60)}, KV{"x.f64", 0.1}, KV{"x.bool", true}, KV{"x.bools", []bool{true, false}},
		KV{"x.f32s", []float32{1, -2}}, KV{"x.u8s", []uint8{1, 2}}, KV{"x.i8s", []int8{-1}}, KV{"x.u16s", []uint16{5}}, KV{"x.i16s", []int16{-5}},
		KV{"x.u32s", []uint32{7}}, KV{"x.u64s", []uint64{8}}, KV{"x.i64s", []int64{-8}}, KV{"x.f64s", []float64{2.5}}, KV{"x.none", []string{}})
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := WriteGGUF(path, meta, tensors); err != nil {
		t.Fatal(err)
	}
	g, err := OpenGGUF(path)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if d := cmp.Diff(meta, g.Metadata); d != "" {
		t.Error("metadata differs:", d)
	}
	if g.Alignment != 64 || g.Version != 3 {
		t.Errorf("alignment %d, version %d", g.Alignment, g.Version)
	}
	for _, w := range tensors {
		got, err := g.Tensor(w.Name)
		if err != nil {
			t.Fatal(err)
		}
		if got.Type != w.Type || !cmp.Equal(got.Shape, w.Shape) || !bytes.Equal(got.data, w.Data) {
			t.Errorf("%s came back as %s %v", w.Name, got.Type, got.Shape)
		}
	}
	if _, err := oracle.ParseGGUFFile(path); err != nil {
		t.Error("the oracle refuses what WriteGGUF wrote:", err)
	}
}

// ggufBytes renders a file without writing it.
func ggufBytes(t testing.TB, meta []KV, tensors []Named) []byte {
	t.Helper()
	streams, err := streamed(tensors)
	if err != nil {
		t.Fatal(err)
	}
	b, align, err := ggufHeader(meta, streams)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range tensors {
		b = append(append(b, w.Data...), make([]byte, padding(len(w.Data), align))...)
	}
	return b
}

// TestGGUFTruncatedAnywhere cuts a valid file at every byte: always an error.
func TestGGUFTruncatedAnywhere(t *testing.T) {
	meta, tensors := tinyGGUF()
	whole := ggufBytes(t, meta, tensors)
	if _, err := parseGGUF(whole); err != nil {
		t.Fatal(err)
	}
	last := tensors[len(tensors)-1]
	end := len(whole) - padding(len(last.Data), 32)
	for n := range end {
		if _, err := parseGGUF(whole[:n]); err == nil {
			t.Fatalf("cut to %d of %d bytes it was accepted", n, len(whole))
		}
	}
	_, err := parseGGUF(whole[:end-1])
	expectError(t, err, "cut short", last.Name)
}

// raw builds a GGUF header by hand: u32, u64, string and []byte parts.
func raw(parts ...any) []byte {
	b := []byte("GGUF")
	for _, p := range parts {
		switch x := p.(type) {
		case uint32:
			b = binary.LittleEndian.AppendUint32(b, x)
		case uint64:
			b = binary.LittleEndian.AppendUint64(b, x)
		case string:
			b = appendString(b, x)
		case []byte:
			b = append(b, x...)
		}
	}
	return b
}

func TestGGUFHostile(t *testing.T) {
	const one, none = uint64(1), uint64(0)
	v3 := uint32(3)
	pad := make([]byte, 4096)
	tensor := func(name string, dims []uint64, typ uint32, offset uint64) []byte {
		b := binary.LittleEndian.AppendUint32(appendString(nil, name), uint32(len(dims)))
		for _, d := range dims {
			b = binary.LittleEndian.AppendUint64(b, d)
		}
		return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(b, typ), offset)
	}
	two := append(tensor("a", []uint64{8}, 0, 0), tensor("b", []uint64{8}, 0, 0)...)
	twice := append(tensor("a", []uint64{8}, 0, 0), tensor("a", []uint64{8}, 0, 32)...)
	for name, c := range map[string]struct {
		data  []byte
		parts []string
	}{
		"empty":               {nil, []string{"not a GGUF"}},
		"other magic":         {[]byte("PK\x03\x04 and so on"), []string{"not a GGUF"}},
		"version 1":           {raw(uint32(1), none, none), []string{"version 1"}},
		"big endian":          {raw(uint32(3<<24), none, none), []string{"big endian"}},
		"tensor count":        {raw(v3, uint64(1<<62), none, pad), []string{"more than its"}},
		"key count":           {raw(v3, none, uint64(1<<63), pad), []string{"more than its"}},
		"key length":          {raw(v3, none, one, uint64(1<<63), pad), []string{"cut short"}},
		"long key":            {raw(v3, none, one, uint64(70000), make([]byte, 80000)), []string{"70000"}},
		"value type":          {raw(v3, none, one, "k", uint32(13), pad), []string{`"k"`, "value type 13"}},
		"array count":         {raw(v3, none, one, "k", kvArray, kvU8, uint64(1<<40), pad), []string{`"k"`, "array of 1099511627776"}},
		"array of arrays":     {raw(v3, none, one, "k", kvArray, kvArray, one, pad), []string{"array of value type 9"}},
		"bool 2":              {raw(v3, none, one, "k", kvBool, []byte{2}, pad), []string{"bool"}},
		"key twice":           {raw(v3, none, uint64(2), "k", kvU8, []byte{1}, "k", kvU8, []byte{1}, pad), []string{`"k"`, "twice"}},
		"alignment 3":         {raw(v3, none, one, "general.alignment", kvU32, uint32(3), pad), []string{"general.alignment", "power of two"}},
		"alignment as string": {raw(v3, none, one, "general.alignment", kvString, "32", pad), []string{"general.alignment"}},
		"no dimensions":       {raw(v3, one, none, tensor("a", nil, 0, 0), pad), []string{`"a"`, "dimensions"}},
		"nine dimensions":     {raw(v3, one, none, tensor("a", make([]uint64, 9), 0, 0), pad), []string{"9 dimensions"}},
		"huge dimension":      {raw(v3, one, none, tensor("a", []uint64{1 << 40}, 0, 0), pad), []string{"too large"}},
		"overflow":            {raw(v3, one, none, tensor("a", []uint64{1 << 30, 1 << 30, 1 << 30}, 0, 0), pad), []string{"too large"}},
		"outside":             {raw(v3, one, none, tensor("a", []uint64{4096}, 0, 0), pad), []string{`"a"`, "16384 bytes", "cut short"}},
		"offset":              {raw(v3, one, none, tensor("a", []uint64{8}, 0, 1<<63), pad), []string{`"a"`, "cut short"}},
		"unaligned":           {raw(v3, one, none, tensor("a", []uint64{8}, 0, 4), pad), []string{"alignment"}},
		"block":               {raw(v3, one, none, tensor("a", []uint64{33}, 2, 0), pad), []string{"Q4_0", "multiple of 32"}},
		"Q3_K":                {raw(v3, one, none, tensor("a", []uint64{256}, 11, 0), pad), []string{`"a"`, "Q3_K", "supported are F32, F16, BF16, Q4_0, Q4_1, Q8_0, Q5_0"}},
		"block of 256":        {raw(v3, one, none, tensor("a", []uint64{288}, 12, 0), pad), []string{"Q4_K", "multiple of 256"}},
		"type 999":            {raw(v3, one, none, tensor("a", []uint64{256}, 999, 0), pad), []string{"unknown type 999"}},
		"shared bytes":        {raw(v3, uint64(2), none, two, pad), []string{`"a"`, `"b"`, "share"}},
		"name twice":          {raw(v3, uint64(2), none, twice, pad), []string{`"a"`, "twice"}},
	} {
		_, err := parseGGUF(c.data)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		expectError(t, err, c.parts...)
	}
}

func TestWriteGGUFRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	w := filled("a", F32, []int{4})
	short := w
	short.Data = short.Data[:12]
	expectError(t, WriteGGUF(path, []KV{{"k", int(1)}}, nil), `"k"`, "int")
	expectError(t, WriteGGUF(path, []KV{{"k", true}, {"k", true}}, nil), `"k"`, "twice")
	expectError(t, WriteGGUF(path, nil, []Named{w, w}), `"a"`, "twice")
	expectError(t, WriteGGUF(path, nil, []Named{short}), `"a"`, "12 bytes")
	expectError(t, WriteGGUF(path, []KV{{"general.alignment", uint32(5)}}, nil), "alignment")
	if _, err := os.Stat(path); err == nil {
		t.Error("a refused file was written")
	}
}

// TestHostileCountsAllocateLittle gives a small file every count it can hold and
// measures what reading it allocates.
func TestHostileCountsAllocateLittle(t *testing.T) {
	body := make([]byte, 1<<20)
	for what, data := range map[string][]byte{
		"tensors": raw(uint32(3), uint64(len(body)/minInfo), uint64(0), body),
		"keys":    raw(uint32(3), uint64(0), uint64(len(body)/minKVBytes), body),
		"strings": raw(uint32(3), uint64(0), uint64(1), "k", kvArray, kvString, uint64(len(body)/8), body),
		"numbers": raw(uint32(3), uint64(0), uint64(1), "k", kvArray, kvF64, uint64(len(body)/8), body),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = parseGGUF(data)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
			t.Errorf("%s: reading 1 MiB allocated %d bytes", what, n)
		}
	}
}
