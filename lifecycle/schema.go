package lifecycle

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"dlm"
	"dlm/stage/evals"
)

// Project is one dlm.yaml, with its defaults filled in.
type Project struct {
	Root string `yaml:"-" json:"root"` // folder of the file, absolute
	File string `yaml:"-" json:"file"` // the file as it was named

	Name     string     `yaml:"project" json:"project"`
	Base     string     `yaml:"base" json:"base"`         // smollm2-135m-instruct, hf:owner/name[@revision], or a path
	Quantize string     `yaml:"quantize" json:"quantize"` // nf4: a base of 16 or 32 bits is quantised as it is loaded; empty or none: as it is
	Trainer  string     `yaml:"trainer" json:"trainer"`   // native, or trl: TRL and PEFT in a Python environment of their own
	Engine   string     `yaml:"engine" json:"engine"`     // who answers golden sets: native, or vllm
	System   string     `yaml:"system" json:"system"`     // system message for rows and items that have none
	Store    string     `yaml:"store" json:"store"`       // folder whose .dlm keeps results; empty = this one
	Data     DataSpec   `yaml:"data" json:"data"`
	Golden   GoldenSpec `yaml:"golden" json:"golden"`
	Train    TrainSpec  `yaml:"train" json:"train"`
	TRL      TRLSpec    `yaml:"trl" json:"trl"`
	VLLM     VLLMSpec   `yaml:"vllm" json:"vllm"`
	Eval     EvalSpec   `yaml:"eval" json:"eval"`
	Gate     GateSpec   `yaml:"gate" json:"gate"`
	Promote  Promotion  `yaml:"promote" json:"promote"`
	Card     CardSpec   `yaml:"card" json:"card"`
	Serve    ServeSpec  `yaml:"serve" json:"serve"`
}

// DataSpec says what is trained on.
type DataSpec struct {
	Train      Paths  `yaml:"train" json:"train"`           // one file or several
	HeldOut    Held   `yaml:"held_out" json:"held_out"`     // a file, a number of rows, or a part such as 5%
	Format     string `yaml:"format" json:"format"`         // empty = detected
	Prompt     string `yaml:"prompt" json:"prompt"`         // column of the prompt, for tables
	Completion string `yaml:"completion" json:"completion"` // column of the completion, for tables
	MaxLen     int    `yaml:"max_len" json:"max_len"`       // tokens an example may have
	Truncate   bool   `yaml:"truncate" json:"truncate"`     // accept truncated completions

	// MaxLenDefault says that the file does not name max_len. The default gives
	// way to a base whose context is shorter; a number that was asked for does not.
	MaxLenDefault bool `yaml:"-" json:"-"`
}

// GoldenSpec says what the adapter is judged by. A single text is its file.
type GoldenSpec struct {
	File string `yaml:"file" json:"file"`
	Name string `yaml:"name" json:"name"`
}

// TrainSpec is how the adapter is trained; see dlm.Recipe.
type TrainSpec struct {
	Method        string    `yaml:"method" json:"method"`
	Rank          int       `yaml:"rank" json:"rank"`
	Alpha         float64   `yaml:"alpha" json:"alpha"`
	Dropout       float64   `yaml:"dropout" json:"dropout"`
	RSLoRA        bool      `yaml:"rslora" json:"rslora"`
	TargetModules []string  `yaml:"target_modules" json:"target_modules"`
	RankPattern   Patterns  `yaml:"rank_pattern" json:"rank_pattern,omitempty"`
	AlphaPattern  Patterns  `yaml:"alpha_pattern" json:"alpha_pattern,omitempty"`
	Epochs        float64   `yaml:"epochs" json:"epochs"`
	MaxSteps      int       `yaml:"max_steps" json:"max_steps"`
	BatchSize     int       `yaml:"batch_size" json:"batch_size"`
	MicroBatch    int       `yaml:"micro_batch" json:"micro_batch"`
	Packing       bool      `yaml:"packing" json:"packing"`
	SharePrefix   bool      `yaml:"share_prefix" json:"share_prefix"`
	Checkpointing string    `yaml:"checkpointing" json:"checkpointing"`
	LR            float64   `yaml:"lr" json:"lr"`
	Schedule      string    `yaml:"schedule" json:"schedule"`
	Warmup        int       `yaml:"warmup" json:"warmup"`
	WeightDecay   float64   `yaml:"weight_decay" json:"weight_decay"`
	ClipNorm      float64   `yaml:"clip_norm" json:"clip_norm"`
	Seed          uint64    `yaml:"seed" json:"seed"`
	Shuffle       bool      `yaml:"shuffle" json:"shuffle"`
	EvalEvery     int       `yaml:"eval_every" json:"eval_every"`
	SampleEvery   int       `yaml:"sample_every" json:"sample_every"`
	SaveEvery     int       `yaml:"save_every" json:"save_every"`
	KeepBest      bool      `yaml:"keep_best" json:"keep_best"`
	EarlyStopping EarlySpec `yaml:"early_stopping" json:"early_stopping,omitzero"`
	Precision     string    `yaml:"precision" json:"precision"`
	Samples       int       `yaml:"samples" json:"samples"` // held-out prompts answered again as it learns

	// Preference tuning.
	Beta     float64     `yaml:"beta" json:"beta,omitempty"`        // dpo, kto, orpo, grpo; 0 = the method's default
	Group    int         `yaml:"group" json:"group,omitempty"`      // grpo: completions of each prompt
	Rollouts RolloutSpec `yaml:"rollouts" json:"rollouts,omitzero"` // grpo: how they are sampled
	Rewards  []string    `yaml:"rewards" json:"rewards,omitempty"`  // grpo: metrics of eval.scorers; the reward is their mean
}

// TrainerTRL is the trainer of driver/trl.
const TrainerTRL = "trl"

// TRLSpec is how and where trainer: trl runs.
type TRLSpec struct {
	Python  string `yaml:"python" json:"python"`   // interpreter of an environment that is there already; empty: DLM_TRL_PYTHON, else what dlm trainer install trl made
	Unsloth bool   `yaml:"unsloth" json:"unsloth"` // Unsloth's kernels, on a GPU

	IDs string `yaml:"ids" json:"ids"` // check (also when empty): a row whose ids TRL would make otherwise is refused; ours: dlm's are taken

	Where     string `yaml:"where" json:"where"`           // local, ssh, or ray; empty: local
	Host      string `yaml:"host" json:"host"`             // ssh: host, user@host, or a name of the ssh configuration
	Port      int    `yaml:"port" json:"port"`             // ssh: 0 = ssh's own
	Identity  string `yaml:"identity" json:"identity"`     // ssh: file of a private key; empty: ssh's own
	SSHConfig string `yaml:"ssh_config" json:"ssh_config"` // ssh: a configuration instead of the user's
	Address   string `yaml:"address" json:"address"`       // ray: of the dashboard, http://head:8265
	Dir       string `yaml:"dir" json:"dir"`               // ssh: folder there for bases and jobs; ray: folder that both sides see at one path
	GPUs      int    `yaml:"gpus" json:"gpus"`             // ray: asked for; -1: one for each process
	Processes int    `yaml:"processes" json:"processes"`   // that train together, each on a GPU of its own; 0 or 1: one
	Launcher  string `yaml:"launcher" json:"launcher"`     // that starts them: torchrun (also when empty) or accelerate
}

// EarlySpec ends training when the held-out loss no longer falls; see
// dlm.EarlyStopping.
type EarlySpec struct {
	Patience int     `yaml:"patience" json:"patience"`
	MinDelta float64 `yaml:"min_delta" json:"min_delta"`
}

// EvalSpec is how adapters and baselines are judged.
type EvalSpec struct {
	Scorers   []evals.ScorerSpec `yaml:"scorers" json:"scorers"`
	Primary   string             `yaml:"primary" json:"primary"` // the metric that the gate reads
	Arms      []ArmSpec          `yaml:"arms" json:"arms"`
	MaxTokens int                `yaml:"max_tokens" json:"max_tokens"`
	Sampling  SamplingSpec       `yaml:"sampling" json:"sampling"`
	Batch     int                `yaml:"batch" json:"batch"` // items answered at once; 0 = chosen
}

// SamplingSpec is dlm.Sampling in the file; the default is greedy.
type SamplingSpec struct {
	Temperature       float64  `yaml:"temperature" json:"temperature"`
	TopK              int      `yaml:"top_k" json:"top_k"`
	TopP              float64  `yaml:"top_p" json:"top_p"`
	MinP              float64  `yaml:"min_p" json:"min_p"`
	RepetitionPenalty float64  `yaml:"repetition_penalty" json:"repetition_penalty"`
	Seed              uint64   `yaml:"seed" json:"seed"`
	Stop              []string `yaml:"stop" json:"stop"`
}

// GateSpec is when an adapter may be promoted.
type GateSpec struct {
	Baseline       string  `yaml:"baseline" json:"baseline"`               // best-arm, an arm's name, or an adapter
	MaxDrop        Points  `yaml:"max_drop" json:"max_drop"`               // 2pp: as much worse it may be
	Level          float64 `yaml:"level" json:"level"`                     // of the interval
	OnInconclusive string  `yaml:"on_inconclusive" json:"on_inconclusive"` // block, warn, pass
}

// Promotion names the alias that a passed adapter gets.
type Promotion struct {
	Alias string `yaml:"alias" json:"alias"` // empty = none
}

// CardSpec is what only a person knows of an adapter, for its model card.
type CardSpec struct {
	Licence     string   `yaml:"license" json:"license"`           // of the adapter, as the Hub names licences: apache-2.0
	Languages   []string `yaml:"languages" json:"languages"`       // en
	Datasets    []string `yaml:"datasets" json:"datasets"`         // on the Hub, owner/name
	Tags        []string `yaml:"tags" json:"tags"`                 //
	IntendedUse string   `yaml:"intended_use" json:"intended_use"` // Markdown
	Limits      string   `yaml:"limits" json:"limits"`             // Markdown
}

// Paths is one path or a list of them.
type Paths []string

// Patterns give other ranks or alphas to some projections: fields whose names are
// regular expressions, in the order of the file, with numbers.
type Patterns []dlm.Pattern

// Held says what is held out of training to watch the loss: one of the three.
type Held struct {
	File string  `json:"file,omitempty"`
	Rows int     `json:"rows,omitempty"`
	Part float64 `json:"part,omitempty"` // 0..1
}

// String is the value as the file would have it.
func (h Held) String() string {
	switch {
	case h.File != "":
		return h.File
	case h.Part > 0:
		return strconv.FormatFloat(100*h.Part, 'g', -1, 64) + "%"
	}
	return strconv.Itoa(h.Rows)
}

// Points is a difference of two shares, as a fraction: 2pp is 0.02.
type Points float64

// String is the value in percentage points.
func (p Points) String() string {
	return strconv.FormatFloat(roundTo(100*float64(p), 9), 'g', -1, 64) + "pp"
}

// roundTo drops what binary fractions add: 100 x 0.07 is not 7.
func roundTo(x float64, digits int) float64 {
	f := math.Pow(10, float64(digits))
	return math.Round(x*f) / f
}

// ParsePoints reads "2pp", "2%" or a fraction such as 0.02.
func ParsePoints(s string) (Points, error) {
	t := strings.TrimSpace(s)
	num, unit := t, 1.0
	for _, u := range []string{"pp", "%"} {
		if rest, ok := strings.CutSuffix(t, u); ok {
			num, unit = strings.TrimSpace(rest), 100
		}
	}
	v, err := strconv.ParseFloat(num, 64)
	if err != nil || math.IsNaN(v) {
		return 0, fmt.Errorf("%q: expected percentage points such as 2pp, or a fraction such as 0.02", s)
	}
	v /= unit
	if v < 0 || v > 1 {
		return 0, fmt.Errorf("%q: expected 0pp to 100pp (a fraction from 0 to 1)", s)
	}
	return Points(v), nil
}

// ArmSpec is one way to answer the golden set besides the adapter.
type ArmSpec struct {
	Kind  string `json:"kind"`            // zero-shot, few-shot, nearest-copy, linear
	Shots int    `json:"shots,omitempty"` // for few-shot
}

// String names the arm as reports do: few-shot-4.
func (a ArmSpec) String() string {
	if a.Kind == "few-shot" {
		return fmt.Sprintf("few-shot-%d", a.Shots)
	}
	return a.Kind
}

// armKinds are the arms that there are.
var armKinds = []string{"zero-shot", "few-shot", "nearest-copy", "linear"}

// modules are the projections that LoRA can adapt.
var modules = []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}

// defaults is what a field holds when dlm.yaml does not name it.
func defaults() Project {
	return Project{
		Trainer: "native",
		TRL:     TRLSpec{GPUs: -1},
		Engine:  "native",
		Data:    DataSpec{HeldOut: Held{Part: 0.05}, MaxLen: 1024},
		Train: TrainSpec{Method: "sft", Rank: 16, Alpha: 32, TargetModules: append([]string(nil), modules...), Epochs: 1, BatchSize: 16,
			Packing: true, SharePrefix: true, Checkpointing: "auto", LR: 1e-3, Schedule: "cosine", Warmup: 10, ClipNorm: 1, Seed: 1, Shuffle: true, SaveEvery: 50, KeepBest: true, Precision: "bf16", Samples: 3},
		Eval: EvalSpec{Arms: []ArmSpec{{Kind: "zero-shot"}, {Kind: "few-shot", Shots: 4}, {Kind: "nearest-copy"}}, MaxTokens: 256},
		Gate: GateSpec{Baseline: "best-arm", MaxDrop: 0.02, Level: 0.95, OnInconclusive: "block"},
	}
}

// Recipe is the training part as the Trainer port takes it.
func (p *Project) Recipe() dlm.Recipe {
	t := p.Train
	return dlm.Recipe{Method: t.Method, Rank: t.Rank, Alpha: t.Alpha, Dropout: t.Dropout, RSLoRA: t.RSLoRA, TargetModules: t.TargetModules,
		RankPattern: t.RankPattern, AlphaPattern: t.AlphaPattern,
		Epochs: t.Epochs, MaxSteps: t.MaxSteps, BatchSize: t.BatchSize, MicroBatch: t.MicroBatch, MaxLen: p.Data.MaxLen, Packing: t.Packing, SharePrefix: t.SharePrefix, Checkpointing: t.Checkpointing,
		LR: t.LR, Schedule: t.Schedule, Warmup: t.Warmup, WeightDecay: t.WeightDecay, ClipNorm: t.ClipNorm, Seed: t.Seed, Shuffle: t.Shuffle,
		EvalEvery: t.EvalEvery, SampleEvery: t.SampleEvery, SaveEvery: t.SaveEvery, KeepBest: t.KeepBest, EarlyStopping: dlm.EarlyStopping(t.EarlyStopping),
		Truncate: p.Data.Truncate, Precision: t.Precision,
		Beta: t.Beta, Group: t.Group, Rollouts: t.Rollouts.sampling()}
}

// Sampling is how the arms answer.
func (p *Project) Sampling() dlm.Sampling {
	s := p.Eval.Sampling
	return dlm.Sampling{MaxTokens: p.Eval.MaxTokens, Temperature: s.Temperature, TopK: s.TopK, TopP: s.TopP, MinP: s.MinP,
		RepetitionPenalty: s.RepetitionPenalty, Seed: s.Seed, Stop: s.Stop}
}
