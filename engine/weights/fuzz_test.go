package weights

import (
	"bytes"
	"math"
	"os"
	"testing"

	"dlm/engine/kernel"

	"github.com/google/go-cmp/cmp"
)

// FuzzGGUF reads arbitrary bytes as a GGUF and as a base. What is accepted must
// survive writing and reading again.
func FuzzGGUF(f *testing.F) {
	meta, tensors := tinyGGUF()
	small := []Named{filled("token_embd.weight", Q8_0, []int{2, 32}), filled("rope_freqs.weight", F32, []int{8}), filled("output.weight", BF16, []int{2, 4})}
	f.Add(ggufBytes(f, meta, tensors))
	f.Add(ggufBytes(f, meta, small)) // small seeds are mutated much faster
	f.Add(ggufBytes(f, append(meta, KV{"general.alignment", uint32(8)}, KV{"a", []float32{1}}), tensors[:2]))
	f.Add(ggufBytes(f, []KV{{"a", []string{"x", ""}}, {"b", []bool{true}}, {"c", int64(1)}}, small[1:]))
	f.Add(ggufBytes(f, nil, []Named{filled("a", Q4_K, []int{1, 256}), filled("b", Q5_1, []int{2, 32}), filled("c", Q6_K, []int{256})}))
	f.Add(raw(uint32(3), uint64(1<<40), uint64(1<<40)))
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := parseGGUF(data)
		if err != nil {
			return
		}
		if _, err := configFromGGUF(g); err == nil {
			_, _ = ggufVocab(g, 64)
			_, _ = ggufTemplate(g)
		}
		var again []Named
		for _, n := range g.names {
			w := g.tensors[n]
			again = append(again, Named{n, w.Type, w.Shape, w.data})
			if w.Rows > 0 && w.Rows*w.Cols < 1<<20 {
				w.F32()
			}
		}
		streams, err := streamed(again)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		header, align, err := ggufHeader(g.Metadata, streams)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		for _, w := range again {
			header = append(append(header, w.Data...), make([]byte, padding(len(w.Data), align))...)
		}
		back, err := parseGGUF(header)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if !cmp.Equal(g.names, back.names) || len(g.Metadata) != len(back.Metadata) {
			t.Fatal("names or metadata changed")
		}
		for _, n := range g.names {
			if !bytes.Equal(g.tensors[n].data, back.tensors[n].data) {
				t.Fatalf("tensor %q changed", n)
			}
		}
	})
}

// FuzzQuants decodes arbitrary blocks of every quantised type: the values must be
// those of the definition, and the panels' those of the file.
func FuzzQuants(f *testing.F) {
	for typ := range numTypes {
		f.Add(uint8(typ), []byte("blocks of any bytes, as a broken or hostile file may hold them"))
	}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		typ := Type(kind % uint8(numTypes))
		per, size := typ.Block()
		if per == 1 || len(data) == 0 {
			return
		}
		for len(data) < size*(256/per) {
			data = append(data, data...)
		}
		const cols = 256
		data = data[:size*(cols/per)]
		w, err := newTensor("w", typ, []int{1, cols}, data)
		if err != nil {
			t.Fatal(err)
		}
		p, err := (&Checkpoint{tensors: map[string]*Tensor{"w": w}}).Panels("w", kernel.BF16, nil)
		if err != nil {
			t.Fatal(err)
		}
		row := make([]float32, cols)
		p.RowF32(0, row)
		for i, v := range w.F32() {
			want := naive(typ, data, i)
			if same := math.Float32bits(v) == math.Float32bits(want) && math.Float32bits(row[i]) == math.Float32bits(want); !same && want == want {
				t.Fatalf("%s element %d is %v, in panels %v, expected %v", typ, i, v, row[i], want)
			}
		}
	})
}

// FuzzSafetensors does the same for safetensors.
func FuzzSafetensors(f *testing.F) {
	f.Add(st(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"__metadata__":{"x":"y"}}`, 8))
	f.Add(st(`{}`, 0))
	if data, err := os.ReadFile("testdata/small.safetensors"); err == nil {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseSafetensors(data)
		if err != nil {
			return
		}
		var again []Named
		for _, n := range s.names {
			w, err := s.Tensor(n)
			if err != nil {
				return // a dtype that is not written either
			}
			w.F32()
			again = append(again, Named{n, w.Type, w.Shape, w.data})
		}
		header, sorted, err := safetensorsHeader(again, s.metadata)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		for _, w := range sorted {
			header = append(header, w.Data...)
		}
		back, err := parseSafetensors(header)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		for _, n := range s.names {
			if !bytes.Equal(s.entries[n].data, back.entries[n].data) {
				t.Fatalf("tensor %q changed", n)
			}
		}
	})
}

// FuzzConfig reads arbitrary bytes as a config.json and as a shard index.
func FuzzConfig(f *testing.F) {
	f.Add([]byte("{" + llamaHead + "}"))
	f.Add([]byte(qwenConfig))
	f.Add([]byte(`{"chat_template":[{"name":"default","template":"x"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := configFromJSON(data); err == nil {
			if err := c.check(); err != nil {
				t.Fatal("an impossible config was accepted:", err)
			}
		}
		_, _ = templateFromConfig(data)
	})
}
