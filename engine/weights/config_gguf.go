package weights

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"dlm/engine/kernel"
)

// meta reads typed GGUF metadata; the first wrong type or missing key is kept.
type meta struct {
	g   *GGUF
	err error
}

func (m *meta) fail(key, want string, got any) {
	if m.err == nil {
		m.err = fmt.Errorf("GGUF metadata %s is %T %.60v; expected %s", key, got, got, want)
	}
}

// integer returns an integer of any width; def where the key is absent, or an
// error where def is negative.
func (m *meta) integer(key string, def int) int {
	v, ok := m.g.Value(key)
	if !ok {
		if def < 0 && m.err == nil {
			m.err = fmt.Errorf("GGUF metadata %s is missing", key)
		}
		return def
	}
	n, ok := toInt(v)
	if !ok {
		m.fail(key, "a whole number", v)
	}
	return n
}

// toInt converts any integer type that fits.
func toInt(v any) (int, bool) {
	switch x := v.(type) {
	case uint8:
		return int(x), true
	case int8:
		return int(x), true
	case uint16:
		return int(x), true
	case int16:
		return int(x), true
	case uint32:
		return int(x), x <= math.MaxInt32
	case int32:
		return int(x), true
	case uint64:
		return int(x), x <= math.MaxInt32
	case int64:
		return int(x), x >= math.MinInt32 && x <= math.MaxInt32
	}
	return 0, false
}

func (m *meta) float(key string, def float64) float64 {
	v, ok := m.g.Value(key)
	if !ok {
		return def
	}
	switch x := v.(type) {
	case float32:
		return float64(x)
	case float64:
		return x
	}
	m.fail(key, "a number", v)
	return def
}

func (m *meta) text(key string) string {
	v, ok := m.g.Value(key)
	if !ok {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		m.fail(key, "a string", v)
	}
	return s
}

// configFromGGUF reads the architecture from metadata and from which tensors
// are there.
func configFromGGUF(g *GGUF) (Config, error) {
	m := &meta{g: g}
	arch := m.text("general.architecture")
	if m.err == nil && !slices.Contains(Families, arch) {
		return Config{}, fmt.Errorf("GGUF architecture %q is not supported; supported are %s", arch, familyNames())
	}
	p := arch + "."
	c := Config{Arch: arch, Name: m.text("general.name"),
		Layers: m.integer(p+"block_count", -1), Hidden: m.integer(p+"embedding_length", -1), FFN: m.integer(p+"feed_forward_length", -1),
		Heads: m.integer(p+"attention.head_count", -1), MaxSeq: m.integer(p+"context_length", -1),
		RopeTheta: m.float(p+"rope.freq_base", 10000), NormEps: float32(m.float(p+"attention.layer_norm_rms_epsilon", 0)),
	}
	c.KVHeads = m.integer(p+"attention.head_count_kv", c.Heads)
	if m.err != nil {
		return c, m.err
	}
	if c.Heads > 0 {
		c.HeadDim = c.Hidden / c.Heads
	}
	c.HeadDim = m.integer(p+"attention.key_length", c.HeadDim)
	embed, ok := g.tensors["token_embd.weight"]
	if !ok {
		return c, fmt.Errorf("GGUF tensor token_embd.weight is missing")
	}
	c.Vocab = embed.Rows
	_, untied := g.tensors["output.weight"]
	_, c.QKVBias = g.tensors["blk.0.attn_q.bias"]
	c.Tied, c.QKNorm = !untied, arch == "qwen3"
	if err := refuseGGUF(m, p, c); err != nil {
		return c, err
	}
	if err := c.check(); err != nil {
		return c, err
	}
	return c, ggufRopeScaling(g, &c)
}

// refuseGGUF names the first announced feature that the engine does not have.
func refuseGGUF(m *meta, p string, c Config) error {
	vocab, dims := m.integer(p+"vocab_size", c.Vocab), m.integer(p+"rope.dimension_count", c.HeadDim)
	value := m.integer(p+"attention.value_length", c.HeadDim)
	experts, window := m.integer(p+"expert_count", 0), m.integer(p+"attention.sliding_window", 0)
	scaling, logit := m.text(p+"rope.scaling.type"), m.float(p+"logit_scale", 1)
	if m.err != nil {
		return m.err
	}
	switch {
	case vocab != c.Vocab:
		return fmt.Errorf("GGUF metadata %svocab_size is %d but token_embd.weight has %d rows", p, vocab, c.Vocab)
	case dims != c.HeadDim:
		return fmt.Errorf("GGUF metadata %srope.dimension_count is %d with heads of %d; partial rotary embedding is not supported", p, dims, c.HeadDim)
	case value != c.HeadDim:
		return fmt.Errorf("GGUF metadata %sattention.value_length is %d with keys of %d; they must be equal", p, value, c.HeadDim)
	case experts != 0:
		return fmt.Errorf("GGUF metadata %sexpert_count is %d; mixtures of experts are not supported", p, experts)
	case window != 0:
		return fmt.Errorf("GGUF metadata %sattention.sliding_window is %d; sliding window attention is not supported", p, window)
	case scaling != "" && scaling != "none":
		return fmt.Errorf("GGUF metadata %srope.scaling.type %q is not supported; supported are none and the llama3 factors in rope_freqs.weight", p, scaling)
	case logit != 1:
		return fmt.Errorf("GGUF metadata %slogit_scale %v is not supported", p, logit)
	}
	for _, k := range []string{"rope.scaling.factor", "rope.scale_linear"} {
		if f := m.float(p+k, 1); f != 1 && f != 0 {
			return fmt.Errorf("GGUF metadata %s%s %v is not supported; expected 1", p, k, f)
		}
	}
	return m.err
}

// ggufRopeScaling recovers Llama 3's scaling. llama.cpp's converter does not
// keep its four settings; it writes what they come to, one divisor per rotary
// pair, as rope_freqs.weight. Settings that reproduce all divisors are searched:
// first the published ones, then a fit of the linear part with LowFreqFactor 1
// (a common factor on the other three changes nothing).
func ggufRopeScaling(g *GGUF, c *Config) error {
	t, ok := g.tensors["rope_freqs.weight"]
	if !ok {
		return nil
	}
	if t.Rows != 1 || t.Cols != c.HeadDim/2 {
		return fmt.Errorf("GGUF tensor rope_freqs.weight has shape %v; expected [%d]", t.Shape, c.HeadDim/2)
	}
	div := t.F32()
	factor := slices.Max(div)
	if factor == 1 && slices.Min(div) == 1 {
		return nil
	}
	tries := []RopeScaling{{float64(factor), 1, 4, 8192}}
	if s, ok := fitScaling(div, float64(factor), c); ok {
		whole := s // the fit sees f32 divisors; published settings are whole numbers
		whole.HighFreqFactor = math.Round(s.HighFreqFactor)
		tries = append(tries, whole, s)
	}
	for _, s := range tries {
		if s.check() == nil && reproduces(s, div, c) {
			c.RopeScaling = &s
			return nil
		}
	}
	return fmt.Errorf("GGUF tensor rope_freqs.weight holds rotary factors that are not Llama 3's scaling; they are not supported")
}

// ropeFreq is the unscaled angle per position of rotary pair i.
func ropeFreq(c *Config, i int) float64 {
	return kernel.Pow64(c.RopeTheta, -2*float64(i)/float64(c.HeadDim))
}

// reproduces reports whether s gives all the divisors to f32 accuracy.
func reproduces(s RopeScaling, div []float32, c *Config) bool {
	for i, d := range div {
		want := s.divisor(ropeFreq(c, i))
		if !(math.Abs(float64(d)-want) <= 1e-5*want) {
			return false
		}
	}
	return true
}

// fitScaling solves the interpolated divisors for the settings. With
// smooth = (1/div - 1/factor) / (1 - 1/factor) the scaling is the line
// smooth = a/wavelen - b, a = orig/(high-low), b = low/(high-low).
func fitScaling(div []float32, factor float64, c *Config) (RopeScaling, bool) {
	var x, y []float64
	for i, d := range div {
		if v := float64(d); v > 1.0001 && v < factor*0.9999 {
			x = append(x, ropeFreq(c, i)/(2*math.Pi))
			y = append(y, (1/v-1/factor)/(1-1/factor))
		}
	}
	if len(x) < 2 {
		return RopeScaling{}, false
	}
	n := len(x) - 1
	a := (y[n] - y[0]) / (x[n] - x[0])
	b := float64(a*x[0]) - y[0]
	if !(b > 0) {
		return RopeScaling{}, false
	}
	orig := math.Round(a / b)
	return RopeScaling{factor, 1, 1 + 1/b, int(min(orig, math.MaxInt32))}, true
}

// hfNames maps the parts of GGUF block tensor names to Hugging Face's.
var hfNames = map[string]string{
	"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
	"attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
	"ffn_down": "mlp.down_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
}

// hfName translates a GGUF tensor name; unknown names stay as they are.
func hfName(name string) string {
	switch name {
	case "token_embd.weight":
		return "model.embed_tokens.weight"
	case "output_norm.weight":
		return "model.norm.weight"
	case "output.weight":
		return "lm_head.weight"
	}
	part := strings.Split(name, ".")
	if len(part) != 4 || part[0] != "blk" || part[3] != "weight" && part[3] != "bias" || hfNames[part[2]] == "" {
		return name
	}
	return "model.layers." + part[1] + "." + hfNames[part[2]] + "." + part[3]
}
