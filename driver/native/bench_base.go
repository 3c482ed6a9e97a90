package native

import (
	"fmt"
	"slices"
	"strings"

	"dlm/engine/weights"
)

// BenchShape is the architecture of a published base, to be filled with random
// weights: speed and memory depend on the shape alone.
type BenchShape struct {
	Name                                        string
	arch, pre                                   string
	layers, hidden, ffn, heads, kvHeads, headSz int
	vocab, context                              int
	theta, eps                                  float32
	qkvBias, qkNorm                             bool
}

// benchShapes are as the bases' config.json files state them, with "tiny" for
// tests.
var benchShapes = []BenchShape{
	{"tiny", "llama", "smollm", 2, 64, 128, 4, 2, 16, 512, 512, 10000, 1e-5, false, false},
	{"smollm2-135m", "llama", "smollm", 30, 576, 1536, 9, 3, 64, 49152, 8192, 100000, 1e-5, false, false},
	{"smollm2-360m", "llama", "smollm", 32, 960, 2560, 15, 5, 64, 49152, 8192, 100000, 1e-5, false, false},
	{"qwen2.5-0.5b", "qwen2", "qwen2", 24, 896, 4864, 14, 2, 64, 151936, 32768, 1e6, 1e-6, true, false},
	{"qwen2.5-1.5b", "qwen2", "qwen2", 28, 1536, 8960, 12, 2, 128, 151936, 32768, 1e6, 1e-6, true, false},
	{"qwen3-0.6b", "qwen3", "qwen2", 28, 1024, 3072, 16, 8, 128, 151936, 40960, 1e6, 1e-6, false, true},
	{"llama-3.2-1b", "llama", "llama-bpe", 16, 2048, 8192, 32, 8, 64, 128256, 131072, 500000, 1e-5, false, false},
}

// BenchShapes lists the names of the shapes that WriteBenchBase knows.
func BenchShapes() []string {
	var names []string
	for _, s := range benchShapes {
		names = append(names, s.Name)
	}
	return names
}

// benchFormats by name: how matrices are stored, and the embedding, which is the
// output projection too. published files keep it at more bits.
var benchFormats = map[string][2]weights.Type{
	"q4_0": {weights.Q4_0, weights.Q8_0}, "q4_1": {weights.Q4_1, weights.Q8_0},
	"q4_k": {weights.Q4_K, weights.Q6_K}, "q5_k": {weights.Q5_K, weights.Q6_K}, "q6_k": {weights.Q6_K, weights.Q6_K},
	"q8_0": {weights.Q8_0, weights.Q8_0}, "bf16": {weights.BF16, weights.BF16},
}

// BenchFormats lists the names of the formats that WriteBenchBase knows.
func BenchFormats() []string {
	var names []string
	for f := range benchFormats {
		names = append(names, f)
	}
	slices.Sort(names)
	return names
}

// WriteBenchBase writes a GGUF base of a shape with random weights and a
// byte-level tokenizer of the right size, and returns its number of weights. It
// streams: a base may be larger than memory.
func WriteBenchBase(path, shape, format string, seed uint64) (int64, error) {
	i := slices.IndexFunc(benchShapes, func(s BenchShape) bool { return s.Name == shape })
	if i < 0 {
		return 0, fmt.Errorf("no shape %q; there are %s", shape, strings.Join(BenchShapes(), ", "))
	}
	types, ok := benchFormats[format]
	if !ok {
		return 0, fmt.Errorf("no format %q; there are %s", format, strings.Join(BenchFormats(), ", "))
	}
	s := benchShapes[i]
	tensors, n, err := s.tensors(types[0], types[1], seed)
	if err != nil {
		return 0, err
	}
	return n, weights.StreamGGUF(path, append(s.metadata(format), benchVocab(s.vocab, s.pre)...), tensors)
}

func (s BenchShape) metadata(format string) []weights.KV {
	p := s.arch + "."
	return []weights.KV{
		{Key: "general.architecture", Value: s.arch},
		{Key: "general.name", Value: "random weights in the shape of " + s.Name + ", " + format},
		{Key: p + "block_count", Value: uint32(s.layers)},
		{Key: p + "context_length", Value: uint32(s.context)},
		{Key: p + "embedding_length", Value: uint32(s.hidden)},
		{Key: p + "feed_forward_length", Value: uint32(s.ffn)},
		{Key: p + "attention.head_count", Value: uint32(s.heads)},
		{Key: p + "attention.head_count_kv", Value: uint32(s.kvHeads)},
		{Key: p + "attention.key_length", Value: uint32(s.headSz)},
		{Key: p + "attention.value_length", Value: uint32(s.headSz)},
		{Key: p + "rope.freq_base", Value: s.theta},
		{Key: p + "attention.layer_norm_rms_epsilon", Value: s.eps},
		{Key: p + "vocab_size", Value: uint32(s.vocab)},
		{Key: p + "rope.dimension_count", Value: uint32(s.headSz)},
	}
}

// benchTensors collects tensors until one cannot be made.
type benchTensors struct {
	seed uint64
	out  []weights.Streamed
	n    int64
	err  error
}

func (b *benchTensors) add(name string, t weights.Type, std float64, shape ...int) {
	if b.err != nil {
		return
	}
	s, err := weights.Random(name, t, shape, std, b.seed)
	n := int64(1)
	for _, d := range shape {
		n *= int64(d)
	}
	b.out, b.n, b.err = append(b.out, s), b.n+n, err
}

// ones adds a norm's weight.
func (b *benchTensors) ones(name string, n int) {
	one := weights.NamedF32(name, []int{n}, slices.Repeat([]float32{1}, n))
	b.out = append(b.out, weights.Stream(one))
	b.n += int64(n)
}

// tensors lists the shape's tensors under GGUF names. Projections keep the size
// of what they are given (standard deviation 1/sqrt(in)); those that write to
// the residual stream add together to about its size.
func (s BenchShape) tensors(t, embed weights.Type, seed uint64) ([]weights.Streamed, int64, error) {
	b := &benchTensors{seed: seed}
	q, kv := s.heads*s.headSz, s.kvHeads*s.headSz
	in := func(n int) float64 { return invSqrt(n) }
	out := func(n int) float64 { return invSqrt(n * 2 * s.layers) }
	b.add("token_embd.weight", embed, 2*invSqrt(s.hidden), s.vocab, s.hidden)
	b.ones("output_norm.weight", s.hidden)
	for l := range s.layers {
		p := fmt.Sprintf("blk.%d.", l)
		b.ones(p+"attn_norm.weight", s.hidden)
		b.add(p+"attn_q.weight", t, in(s.hidden), q, s.hidden)
		b.add(p+"attn_k.weight", t, in(s.hidden), kv, s.hidden)
		b.add(p+"attn_v.weight", t, in(s.hidden), kv, s.hidden)
		if s.qkvBias {
			b.add(p+"attn_q.bias", weights.F32, 0.1, q)
			b.add(p+"attn_k.bias", weights.F32, 0.1, kv)
			b.add(p+"attn_v.bias", weights.F32, 0.1, kv)
		}
		if s.qkNorm {
			b.ones(p+"attn_q_norm.weight", s.headSz)
			b.ones(p+"attn_k_norm.weight", s.headSz)
		}
		b.add(p+"attn_output.weight", t, out(q), s.hidden, q)
		b.ones(p+"ffn_norm.weight", s.hidden)
		b.add(p+"ffn_gate.weight", t, in(s.hidden), s.ffn, s.hidden)
		b.add(p+"ffn_up.weight", t, in(s.hidden), s.ffn, s.hidden)
		b.add(p+"ffn_down.weight", t, out(s.ffn), s.hidden, s.ffn)
	}
	return b.out, b.n, b.err
}
