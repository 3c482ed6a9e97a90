package trl

import (
	"regexp"
	"strconv"

	"dlm"
)

// Device is what the memory of a plan belongs to.
type Device struct {
	Name  string // "cuda: NVIDIA L4", "cpu"; empty: not known yet, taken for a GPU
	Bytes int64  // of memory, of one of them; 0 = not known
	Count int    // GPUs
}

// cuda says whether the device is taken for a GPU.
func (d Device) cuda() bool { return d.Name != "cpu" }

// Memory is what decides how much memory training takes: on each GPU, where
// there are several, for each holds the whole base.
type Memory struct {
	Shape     Shape
	Recipe    dlm.Recipe // MicroBatch and Checkpointing as they are to be; see Choose
	Quantize  string     // "nf4", or "none"
	Tokens    int        // the longest example; a micro batch is padded to its longest
	Device    Device
	Processes int // that share a step's rows, each on a GPU of its own; 0 or 1: one
}

// Use is a kind of memory, as dlm.TrainPlan.Bytes names it.
const (
	useWeights     = "weights"
	useAdapter     = "adapter"
	useOptimiser   = "optimiser"
	useActivations = "activations"
	useLogits      = "logits"
	useCache       = "generation cache"
	useRuntime     = "runtime"
)

// Bytes of constants, measured or published by those who allocate them.
const (
	nf4Block = 64  // weights that share a scale (bitsandbytes, QLoRA section 3)
	nf4Outer = 256 // scales that share a scale of their own: double quantisation

	cudaContext   = 600 << 20 // CUDA context, cuBLAS workspace and loaded kernels of a recent GPU
	cudaSlack     = 0.06      // of what is allocated and freed again: PyTorch's caching allocator rounds up and splits
	pythonRuntime = 930 << 20 // torch (with its CUDA libraries), transformers, peft and trl, imported: resident, measured on a CPU

	tileTokens = 4096  // TRL's fused LM head: tokens of a tile of logits,
	tileVocab  = 32768 // and its width
)

// Bytes returns how much of each kind is allocated when memory is fullest.
func (m Memory) Bytes() map[string]int64 {
	b := map[string]int64{useWeights: m.weights()}
	n := m.Trained()
	// Masters and gradients in f32, and the bf16 copy that autocast keeps for a step;
	// several processes sum their gradients in buckets of the same size (DDP).
	b[useAdapter] = n * 8
	if m.Recipe.Precision != "f32" {
		b[useAdapter] += n * 2
	}
	if m.Processes > 1 {
		b[useAdapter] += n * 4
	}
	b[useOptimiser] = n * 8 // AdamW: two moments in f32
	rows, tokens := m.pass()
	b[useActivations] = m.activations(rows, tokens)
	b[useLogits] = m.logits(rows * tokens)
	if m.Recipe.Method == "grpo" {
		b[useCache] = m.cache()
	}
	b[useRuntime] = pythonRuntime
	if m.Device.cuda() {
		moving := b[useActivations] + b[useLogits] + b[useCache]
		b[useRuntime] = cudaContext + int64(cudaSlack*float64(moving))
	}
	return b
}

// Peak is the sum of Bytes, but for what is never there at the same time: the
// cache of generation is freed before training.
func (m Memory) Peak() int64 {
	b := m.Bytes()
	train, generate := b[useActivations]+b[useLogits], b[useCache]
	return b[useWeights] + b[useAdapter] + b[useOptimiser] + b[useRuntime] + max(train, generate)
}

// width is the bytes of a number that the base computes with.
func (m Memory) width() int64 {
	if m.Recipe.Precision == "f32" {
		return 4
	}
	return 2
}

// weights counts the base. NF4 holds the projections of the layers: half a byte a
// weight, an 8-bit scale for 64 of them and an f32 scale for 256 scales (QLoRA,
// arXiv 2305.14314, section 3: 0.127 bits a weight for the scales), and for each
// matrix the two code books. The rest stays at 16 or 32 bits.
func (m Memory) weights() int64 {
	s := m.Shape
	if m.Quantize != "nf4" {
		return s.Parameters() * m.width()
	}
	return m.nf4() + (s.embedding()+s.small())*m.width()
}

func (m Memory) nf4() int64 {
	var n int64
	for _, name := range projections {
		p, _ := m.Shape.projection(name)
		n += nf4Bytes(p)
	}
	return n * int64(m.Shape.Layers)
}

// nf4Bytes is what bitsandbytes keeps of one matrix.
func nf4Bytes(p size) int64 {
	const codeBooks = 16*4 + 256*4 + 4 // of the codes and of the scales, and the scales' mean
	weights := int64(p.in) * int64(p.out)
	scales := (weights + nf4Block - 1) / nf4Block
	return (weights+1)/2 + scales + 4*((scales+nf4Outer-1)/nf4Outer) + codeBooks
}

// Trained counts the adapter's parameters: rank * (in + out) for each projection
// that it is on.
func (m Memory) Trained() int64 {
	if len(m.Recipe.RankPattern) == 0 {
		return m.layerTrained(0) * int64(m.Shape.Layers)
	}
	var n int64
	for l := range m.Shape.Layers {
		n += m.layerTrained(l)
	}
	return n
}

func (m Memory) layerTrained(layer int) int64 {
	var n int64
	for _, name := range m.Recipe.TargetModules {
		if p, ok := m.Shape.projection(name); ok {
			n += int64(m.rank(layer, name)) * int64(p.in+p.out)
		}
	}
	return n
}

// rank is the adapter's rank on a projection.
func (m Memory) rank(layer int, name string) int {
	for _, p := range m.Recipe.RankPattern {
		re, err := regexp.Compile(`(?:^|\.)(?:` + p.Match + `)$`)
		if err == nil && re.MatchString(fullName(layer, name)) {
			return int(p.Value)
		}
	}
	return m.Recipe.Rank
}

// fullName is a projection's name in the base.
func fullName(layer int, name string) string {
	block := "self_attn."
	switch name {
	case "gate_proj", "up_proj", "down_proj":
		block = "mlp."
	}
	return "model.layers." + strconv.Itoa(layer) + "." + block + name
}

// largestRank is the largest of a projection's ranks over the layers.
func (m Memory) largestRank(name string) int {
	if len(m.Recipe.RankPattern) == 0 {
		return m.Recipe.Rank
	}
	r := 0
	for l := range m.Shape.Layers {
		r = max(r, m.rank(l, name))
	}
	return r
}

// pass is the size of the largest pass: sequences, and tokens of each.
func (m Memory) pass() (rows, tokens int64) {
	rows, tokens = int64(max(1, m.Recipe.MicroBatch)), int64(max(1, m.Tokens))
	switch m.Recipe.Method {
	case "dpo", "orpo":
		rows *= 2 // chosen and rejected go through together
	case "kto":
		rows *= 2 // the completions of other prompts, for the KL term, go through beside them
	case "grpo":
		tokens += int64(m.Recipe.Rollouts.MaxTokens) // Tokens are the prompt's
	}
	return rows, tokens
}

// activations counts what a backward pass needs of a forward pass of rows
// sequences of so many tokens. Kept whole, that is kept(...) a layer; with
// checkpointing it is a layer's input, and one layer whole while it is computed
// again (Chen et al., arXiv 1604.06174). The gradients that travel through a
// layer come on top, and for NF4 the matrix that is dequantised for a multiply.
func (m Memory) activations(rows, tokens int64) int64 {
	s, w := m.Shape, m.width()
	n := rows * tokens
	layers := int64(s.Layers)
	layer := n*m.kept() + m.mask(rows, tokens)
	ends := n * int64(s.Hidden) * (4 + w) // embedding's output and the last norm's
	total := layers*layer + ends
	if m.Recipe.Checkpointing == "on" {
		total = layers*n*int64(s.Hidden)*w + layer + ends + m.mask(rows, tokens)
	}
	// Back through a layer: the MLP's three gradients of its inner width and the
	// residual stream's two.
	total += n * w * int64(3*s.Inner+2*s.Hidden)
	if m.Quantize == "nf4" {
		total += 2 * int64(s.Inner) * int64(s.Hidden)
	}
	return total
}

// kept is the bytes that autograd keeps of one token in one layer of a
// Llama-shaped base (counted with saved-tensor hooks on transformers and PEFT, see
// testdata/memory/measure.py, and equal to this sum to the last byte):
//
//	2 norms       their input in f32, and one f32 reciprocal each
//	attention     q, k, v, output for all heads (k and v repeated to the heads of q), f32 log-sum a head
//	MLP           gate, silu(gate), up
//	adapters      their own copy of their input, and x Aᵀ
//	dropout       the f32 input times its mask, and the mask
//
// In f32 no copy is made, so projections that share an input share it.
func (m Memory) kept() int64 {
	s, w := m.Shape, m.width()
	h, q, inner := int64(s.Hidden), int64(s.Heads*s.HeadDim), int64(s.Inner)
	n := 2*(4*h+4) + 4*q*w + 4*int64(s.Heads) + 3*inner*w
	if s.HeadNorm {
		n += 4 * (q + int64(s.KVHeads*s.HeadDim))
	}
	kept := map[string]bool{"o_proj": true} // attention keeps its output, which is o_proj's input
	for _, name := range m.Recipe.TargetModules {
		p, ok := s.projection(name)
		if !ok {
			continue
		}
		n += int64(m.largestRank(name)) * w
		input := inputOf(name)
		if w == 2 || m.Recipe.Dropout > 0 || !kept[input] {
			n += int64(p.in) * w
		}
		kept[input] = true
		if m.Recipe.Dropout > 0 {
			n += int64(p.in) * m.dropMask()
		}
	}
	return n
}

// inputOf names what a projection multiplies, by the first that multiplies it.
func inputOf(name string) string {
	switch name {
	case "k_proj", "v_proj":
		return "q_proj"
	case "up_proj":
		return "gate_proj"
	}
	return name
}

// dropMask is the bytes of a dropout mask's element: a bool on a GPU, f32 on the CPU.
func (m Memory) dropMask() int64 {
	if m.Device.cuda() {
		return 1
	}
	return 4
}

// mask counts a layer's attention mask, which scaled_dot_product_attention turns
// into numbers. A single sequence has no padding and needs none.
func (m Memory) mask(rows, tokens int64) int64 {
	if rows < 2 {
		return 0
	}
	return rows * tokens * tokens * m.width()
}

// logits counts what the output projection and the loss need. TRL's fused head
// works on tiles, on a GPU in place, elsewhere with f32 tensors of the tile's size
// for each step of the arithmetic. ORPO has no fused head: there the logits, their
// f32 copy, log-softmax and gradient exist whole.
func (m Memory) logits(n int64) int64 {
	w, vocab := m.width(), int64(m.Shape.Vocab)
	hidden := n * int64(m.Shape.Hidden) * (w + 4)
	if m.Recipe.Method == "orpo" {
		return hidden + n*vocab*(w+4+4+4)
	}
	tile := min(n, tileTokens) * min(vocab, tileVocab)
	if m.Device.cuda() {
		return hidden + tile*w
	}
	const steps = 6
	return hidden + tile*(w+steps*4)
}

// cache counts what GRPO's rollouts need while they are sampled: keys and values of
// every sequence of a step, and the logits of their next tokens in f32, twice.
func (m Memory) cache() int64 {
	s := m.Shape
	seqs := int64(max(1, m.Recipe.BatchSize)) * int64(max(1, m.Recipe.Group))
	token := 2 * int64(s.KVHeads*s.HeadDim) * m.width() * int64(s.Layers)
	return seqs * (int64(m.Tokens+m.Recipe.Rollouts.MaxTokens)*token + 8*int64(s.Vocab))
}
