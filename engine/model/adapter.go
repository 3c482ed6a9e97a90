package model

import "dlm/engine/kernel"

// Module is one of the linear projections of a layer that LoRA can adapt.
type Module uint8

// The projections of a layer, in the order in which the forward pass meets them.
const (
	QProj Module = iota
	KProj
	VProj
	OProj
	GateProj
	UpProj
	DownProj
	NumModules
)

var moduleNames = [NumModules]string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}

// String returns the module's name as Hugging Face and PEFT write it.
func (m Module) String() string { return moduleNames[m] }

// ParseModule returns the module of that name.
func ParseModule(name string) (Module, bool) {
	for m, n := range moduleNames {
		if n == name {
			return Module(m), true
		}
	}
	return 0, false
}

// parent returns the block that holds the module in Hugging Face's names.
func (m Module) parent() string {
	if m <= OProj {
		return "self_attn"
	}
	return "mlp"
}

// LoRA is one projection's adapter as the multiply sees it (Hu et al. 2021,
// arXiv 2106.09685, section 4.1):
//
//	h = Scale * (x Aᵀ), rounded to operand precision;  y = x Wᵀ + h Bᵀ
type LoRA struct {
	A     *kernel.Panels // [R, in]
	B     *kernel.Panels // [out, R]
	Rank  int
	Scale float32 // alpha / R, or alpha / sqrt(R)

	GradA  []float32 // [R, in]; nil unless trained; backward accumulates
	GradBT []float32 // [R, out]: gradient of B, transposed

	Dropout float32 // probability that a channel of x is dropped before A; training only
	Seed    uint64  // of the dropout masks
}

// Adapter gives each projection's LoRA.
type Adapter interface {
	// Projection returns nil where the projection is not adapted. It gives the
	// same LoRA each time: a pass does not ask again while its rows stay the same.
	Projection(layer int, m Module) *LoRA
}

// Cache holds the keys and values of one sequence in blocks of BlockLen
// positions, laid out for kernel.MulBlock.
type Cache interface {
	// Len returns the number of positions held before the pass.
	Len() int
	// Blocks returns the sequence's blocks for one key-value head: of keys with
	// K = D and N = 64 (bf16: [D/2][64][2], pairs along d), of values with
	// K = 64 and N = D (bf16: [32][D][2], pairs along positions). There must be
	// room for every position of the pass.
	Blocks(layer, kvHead int) (keys, values []kernel.Block)
}

// BlockLen is the number of positions in a key-value block.
const BlockLen = 64

// Segment is a run of tokens of one sequence. Several segments may continue the
// same one: what their sequences share is then computed once.
type Segment struct {
	IDs     []int32
	Start   int     // position of IDs[0] in its sequence
	Parent  int     // 1 + the index of the segment of this pass that it continues, which ends at Start; 0: none
	Cache   Cache   // holds what stands before Start; nil: the parent does, or Start is 0
	Adapter Adapter // nil: the base itself; the parent's, if there is one
	Example int     // number of the example in the data set, for dropout masks
}

// Target asks for the log-probability of ID as the token after row Row of a pass.
type Target struct {
	Row int
	ID  int32
}
