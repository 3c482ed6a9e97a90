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

// FuzzNF4 quantises arbitrary numbers: they are refused or come back as the code
// book's entry, times a scale, that is the nearest to their part of the block.
func FuzzNF4(f *testing.F) {
	f.Add([]byte{0, 0, 128, 63, 1, 0, 0, 0, 0, 0, 0, 128, 255, 255, 127, 127})
	f.Add([]byte("numbers of any size and sign, subnormal and not finite ones among them"))
	f.Fuzz(func(t *testing.T, data []byte) {
		const rows, cols = 5, 128
		values := make([]float32, rows*cols)
		for i := range values {
			for b := range 4 {
				if at := 4*i + b; len(data) > 0 {
					values[i] = math.Float32frombits(math.Float32bits(values[i]) | uint32(data[at%len(data)])<<(8*b))
				}
			}
		}
		q := &NF4{Rows: rows, Cols: cols, exact: make([]float32, rows*cols/64)}
		for r := range rows {
			absmaxRow(values[r*cols:(r+1)*cols], q.exact[2*r:2*r+2])
		}
		if q.nest() != nil {
			return
		}
		codes := make([]uint8, cols)
		for r := range rows {
			q.codes(r, values[r*cols:(r+1)*cols], codes)
			for i, c := range codes {
				most := float64(q.exact[2*r+i/64])
				if most < 1e-37 {
					continue // subnormal: all codes are as good
				}
				part := float64(values[r*cols+i]) / most
				for other := range kernel.NF4 {
					if math.Abs(part-float64(kernel.NF4[c])) > math.Abs(part-float64(kernel.NF4[other]))+1e-6 {
						t.Fatalf("%v of %v has code %d, %d is nearer", values[r*cols+i], most, c, other)
					}
				}
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
		var again []Streamed
		for _, n := range s.names {
			w, err := s.Tensor(n)
			if err != nil {
				return // a dtype that is not written either
			}
			w.F32()
			again = append(again, Stream(Named{n, w.Type, w.Shape, w.data}))
		}
		header, sorted, err := safetensorsHeader(again, s.metadata)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		file := bytes.NewBuffer(header)
		for _, w := range sorted {
			if err := w.writeTo(file); err != nil {
				t.Fatal(err)
			}
		}
		back, err := parseSafetensors(file.Bytes())
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
