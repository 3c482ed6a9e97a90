package trl

import (
	"cmp"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"
)

// roomFor is the part of a device's memory that a plan may fill: other programs,
// the display and what the plan does not see need some.
const roomFor = 0.95

// usualMicro is the most examples of a pass that are chosen without being asked
// for: more hardly make a GPU faster when examples are hundreds of tokens long.
const usualMicro = 8

// leastTokens is the shortest max_len that is proposed.
const leastTokens = 64

// mostOnCPU is the largest base that is trained without a GPU: at some hundred
// tokens a second for a billion parameters, more takes weeks.
const mostOnCPU = 3e9

// NoFit is the refusal of a plan that needs more memory than there is, or a GPU
// where there is none.
type NoFit struct {
	Memory Memory
	Need   int64    // bytes
	NoGPU  bool     // Need is of a GPU, and there is none
	Ways   []string // settings that would fit, the least change first; empty: none was found
}

// Error names what is needed, what there is, and what would fit.
func (e *NoFit) Error() string {
	d := e.Memory.Device
	if e.NoGPU {
		return fmt.Sprintf("training needs a GPU with %s of memory, and there is none here that dlm can see: a base of %.1f billion parameters keeps a CPU busy for weeks; train where a GPU is, with trl: {where: ssh, host: user@gpu-box} in dlm.yaml, or where: ray (docs/GPU.md), or take the job to Modal with dlm train sft --export-modal DIR",
			gib(e.Need), float64(e.Memory.Shape.Parameters())/1e9)
	}
	s := fmt.Sprintf("training needs %s of memory, and %s has %s", gib(e.Need), deviceName(d), gib(d.Bytes))
	if len(e.Ways) == 0 {
		return s + fmt.Sprintf("; no smaller setting fits: the base's weights alone take %s", gib(e.Memory.weights())) +
			"; choose a smaller base or another machine (trl: {where: ssh, host: user@box})"
	}
	return s + "; it would fit with " + strings.Join(e.Ways, "; or ") + "; or on a machine with more (trl: {where: ssh, host: user@box})"
}

func deviceName(d Device) string {
	switch d.Name {
	case "":
		return "the device"
	case "cpu":
		return "this machine"
	}
	return d.Name
}

// gib writes bytes as GiB, or MiB below one.
func gib(n int64) string {
	const g = 1 << 30
	if n < g {
		return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/g)
}

// Fits says whether the plan fits its device. A device of unknown size holds all.
func (m Memory) Fits() bool {
	return m.Device.Bytes == 0 || float64(m.Peak()) <= roomFor*float64(m.Device.Bytes)
}

// Choose settles what the recipe leaves open, the examples of a pass (micro_batch
// 0) and whether activations are computed again (checkpointing auto), so that it
// fits with the fewest passes, and with as little computed twice as that allows.
// Where the device's memory is not known, it chooses what needs little. What does
// not fit at all is a *NoFit.
func (m Memory) Choose() (Memory, error) {
	if m.Device.Name == "cpu" && m.Shape.Parameters() > mostOnCPU {
		gpu := m
		gpu.Device = Device{}
		c := gpu.choices()[0]
		return m, &NoFit{Memory: m, Need: c.Peak(), NoGPU: true}
	}
	var last Memory
	for _, c := range m.choices() {
		if last = c; c.Fits() {
			return c, nil
		}
	}
	return last, &NoFit{Memory: last, Need: last.Peak(), Ways: last.ways()}
}

// choices lists the settings that the recipe leaves open, best first.
func (m Memory) choices() []Memory {
	micros := []int{m.Recipe.MicroBatch}
	if m.Recipe.MicroBatch == 0 {
		micros = micros[:0]
		// Of each process's share of a step, every pass but perhaps the last is full.
		processes := max(1, m.Processes)
		share := (m.Recipe.BatchSize + processes - 1) / processes
		least := leastMicro(m.Recipe.Method)
		for n := min(usualMicro, max(least, share)); n >= least; n-- {
			if n == least || share%n == 0 {
				micros = append(micros, n)
			}
		}
		if m.Device.Bytes == 0 && len(micros) > 1 {
			micros = micros[1:]
		}
	}
	again := []string{m.Recipe.Checkpointing}
	if c := m.Recipe.Checkpointing; c == "" || c == "auto" {
		again = []string{"off", "on"}
		if m.Device.Bytes == 0 && m.Device.cuda() {
			again = []string{"on"}
		}
	}
	var out []Memory
	for _, micro := range micros {
		for _, c := range again {
			t := m
			t.Recipe.MicroBatch, t.Recipe.Checkpointing = micro, c
			out = append(out, t)
		}
	}
	return out
}

// leastMicro is the smallest pass that the program makes. KTO estimates a KL term
// from the other rows of the pass, and needs two.
func leastMicro(method string) int {
	if method == "kto" {
		return 2
	}
	return 1
}

// way is a change of settings that needs less memory.
type way struct {
	text  func(m Memory) string
	apply func(m *Memory) bool // false: nothing to change
}

// savings are the changes that are looked at, by what they cost the result: the
// first two change no number, those after them more and more.
var savings = []way{
	{func(m Memory) string {
		return fmt.Sprintf("train.micro_batch: %d (the same steps in smaller passes)", m.Recipe.MicroBatch)
	},
		func(m *Memory) bool {
			was := m.Recipe.MicroBatch
			m.Recipe.MicroBatch = leastMicro(m.Recipe.Method)
			return was > m.Recipe.MicroBatch
		}},
	{func(Memory) string {
		return "train.checkpointing: on (activations are computed again; about a third slower)"
	},
		func(m *Memory) bool {
			was := m.Recipe.Checkpointing
			m.Recipe.Checkpointing = "on"
			return was != "on"
		}},
	{func(Memory) string { return "train.precision: bf16" },
		func(m *Memory) bool {
			was := m.Recipe.Precision
			m.Recipe.Precision = "bf16"
			return was == "f32"
		}},
	{func(Memory) string { return "quantize: nf4 (QLoRA)" },
		func(m *Memory) bool {
			was := m.Quantize
			m.Quantize = "nf4"
			return was != "nf4" && m.Device.cuda()
		}},
	{func(m Memory) string { return fmt.Sprintf("train.group: %d", m.Recipe.Group) },
		func(m *Memory) bool {
			was := m.Recipe.Group
			m.Recipe.Group = max(2, was/2)
			return m.Recipe.Method == "grpo" && was > 2
		}},
	{func(m Memory) string {
		return fmt.Sprintf("data.max_len: %d (longer rows shortened or left out)", m.Tokens)
	},
		func(m *Memory) bool {
			was := m.Tokens
			for m.Tokens /= 2; m.Tokens >= 2*leastTokens && !m.Fits(); {
				m.Tokens /= 2
			}
			return was >= 2*leastTokens
		}},
	{func(m Memory) string { return fmt.Sprintf("train.rank: %d", m.Recipe.Rank) },
		func(m *Memory) bool {
			was := m.Recipe.Rank
			m.Recipe.Rank = max(4, was/2)
			return was > 4
		}},
}

// ways searches for settings that fit: every single change first, then more and
// more changes together. It returns the three that change least.
func (m Memory) ways() []string {
	const most = 3
	var found []uint
	for size := 1; size <= len(savings) && len(found) < most; size++ {
		for set := uint(1); set < 1<<len(savings); set++ {
			if bits.OnesCount(set) != size || slices.ContainsFunc(found, func(f uint) bool { return f&set == f }) {
				continue
			}
			if t, ok := m.with(set); ok && t.Fits() {
				found = append(found, set)
			}
		}
	}
	var out []string
	for _, set := range found[:min(most, len(found))] {
		t, _ := m.with(set)
		var parts []string
		for i, s := range savings {
			if set&(1<<i) != 0 {
				parts = append(parts, s.text(t))
			}
		}
		out = append(out, strings.Join(parts, " and "))
	}
	return out
}

// with applies a set of savings. ok is false where one of them changes nothing.
func (m Memory) with(set uint) (Memory, bool) {
	for i, s := range savings {
		if set&(1<<i) != 0 && !s.apply(&m) {
			return m, false
		}
	}
	return m, true
}

// cards are memory sizes of GPUs that are to be had, in GB.
var cards = []int64{8, 12, 16, 24, 32, 40, 48, 80, 96, 141}

// usable is the part of its nominal size that a card reports at least: of 24 GB,
// an L4 has 22.5 GiB, an A10 22.1.
const usable = 0.92

// Card returns the smallest usual size of a GPU that a plan fits, in GB; 0: none.
func (m Memory) Card() int64 {
	for _, g := range cards {
		if m.Device.Bytes = int64(usable * float64(g<<30)); m.Fits() {
			return g
		}
	}
	return 0
}

// About says on one line what a plan takes, and of what.
func (m Memory) About() string {
	b := m.Bytes()
	uses := slices.SortedFunc(maps.Keys(b), func(x, y string) int { return cmp.Or(cmp.Compare(b[y], b[x]), cmp.Compare(x, y)) })
	for i, use := range uses {
		uses[i] = use + " " + gib(b[use])
	}
	s := fmt.Sprintf("%s (%s) with rows of %d tokens, %d at once", gib(m.Peak()), strings.Join(uses, ", "), m.Tokens, max(1, m.Recipe.MicroBatch))
	if c := m.Card(); c > 0 {
		s += fmt.Sprintf("; a GPU of %d GB will do", c)
	}
	return s
}
