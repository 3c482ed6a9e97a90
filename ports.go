package dlm

import (
	"context"
	"io"
	"time"
)

// ScoreRequest asks how likely a completion is after a prompt.
type ScoreRequest struct {
	Messages   []Message // templated prompt
	Raw        string    // plain prompt, when Messages is empty
	Completion string
	EndOfTurn  bool // append the base's end-of-turn token to the completion
	Adapter    string
}

// Scored holds the log-probability of each token of a completion.
type Scored struct {
	Tokens []Token
	Sum    float64 // of the log-probabilities, natural logarithm
}

// Scorer gives log-probabilities of given completions.
type Scorer interface {
	Score(ctx context.Context, reqs []ScoreRequest) ([]Scored, error)
}

// Encoder turns rows into what the base model sees: the only source of token
// ids and completion masks, for previews, checks, training and serving alike.
type Encoder interface {
	// Encode renders and tokenizes a row. maxLen 0 means the base's context length.
	Encode(row Row, maxLen int) (Encoded, error)
	// Render returns the conversation as text, as the template writes it.
	Render(msgs []Message, generationPrompt bool) (string, error)
	// Tokenize splits text; special says whether special tokens in it are parsed.
	Tokenize(text string, special bool) []Token
	// Piece returns the text of one id, for people.
	Piece(id int32) string
}

// Codec is the Encoder of an engine that is sent ids instead of text, so that
// no other tokenizer or template than the base's own has a say: what the ids of
// a prompt are, and what the ids of an answer spell.
type Codec interface {
	Encoder
	// Prompt returns the ids of a conversation with its generation prompt, or of
	// plain text when there are no messages.
	Prompt(msgs []Message, raw string) ([]int32, error)
	// Completed returns the ids of a prompt and its completion, as training sees
	// them, and where the completion begins.
	Completed(msgs []Message, raw, completion string, endOfTurn bool) (ids []int32, from int, err error)
	// Spell begins the text of a completion that ends at the first of the stop
	// strings, if there are any.
	Spell(stop []string) TextStream
	// Bytes returns what one id spells: a part of a character, if need be.
	Bytes(id int32) []byte
	// StopIDs are the tokens that end a completion.
	StopIDs() []int32
	// Context is how many tokens prompt and completion may have together.
	Context() int
}

// TextStream turns the ids of a completion into its text as they come: whole
// UTF-8 characters, and nothing that may still become a stop string.
type TextStream interface {
	// Push takes the next id and returns the text that can be shown by now.
	// stopped says that a stop string is complete; text ends before it.
	Push(id int32) (text string, stopped bool)
	// Flush returns what was held back.
	Flush() string
}

// Recipe is how an adapter is trained.
type Recipe struct {
	Method        string   `json:"method"` // "sft", "cpt", "dpo", "kto", "orpo", "grpo"; a trainer refuses what it cannot do
	Rank          int      `json:"rank"`
	Alpha         float64  `json:"alpha"`
	Dropout       float64  `json:"dropout"`
	RSLoRA        bool     `json:"rslora"`
	TargetModules []string `json:"target_modules"`
	// Other ranks and alphas for projections whose name matches; the first
	// pattern that matches wins. A pattern that decides nothing is an error.
	RankPattern   []Pattern     `json:"rank_pattern,omitempty"`
	AlphaPattern  []Pattern     `json:"alpha_pattern,omitempty"`
	Epochs        float64       `json:"epochs"`
	MaxSteps      int           `json:"max_steps"`   // 0 = from epochs
	BatchSize     int           `json:"batch_size"`  // examples a step sees, over all accumulation
	MicroBatch    int           `json:"micro_batch"` // examples a pass, 0 = planned
	MaxLen        int           `json:"max_len"`     // tokens an example may have
	Packing       bool          `json:"packing"`
	SharePrefix   bool          `json:"share_prefix"`  // tokens that examples of a step begin with alike are computed once; no effect with dropout
	Checkpointing string        `json:"checkpointing"` // "auto", "on", "off": activations computed again instead of kept
	LR            float64       `json:"lr"`
	Schedule      string        `json:"schedule"` // "cosine", "linear", "constant"
	Warmup        int           `json:"warmup"`   // steps
	WeightDecay   float64       `json:"weight_decay"`
	ClipNorm      float64       `json:"clip_norm"` // 0 = off
	Seed          uint64        `json:"seed"`
	Shuffle       bool          `json:"shuffle"`
	EvalEvery     int           `json:"eval_every"`   // steps; 0 = once an epoch
	SampleEvery   int           `json:"sample_every"` // steps; 0 = with each evaluation
	SaveEvery     int           `json:"save_every"`   // steps between checkpoints
	KeepBest      bool          `json:"keep_best"`    // end with the adapter of the least evaluation loss
	EarlyStopping EarlyStopping `json:"early_stopping,omitzero"`
	Truncate      bool          `json:"truncate"`  // accept truncated completions
	Precision     string        `json:"precision"` // "bf16" or "f32"

	// Preference tuning.
	Beta     float64  `json:"beta,omitempty"`    // DPO, KTO: strength of the reference; ORPO: weight of the odds ratio; GRPO: of the KL term
	Group    int      `json:"group,omitempty"`   // GRPO: completions sampled for each prompt
	Rollouts Sampling `json:"rollouts,omitzero"` // GRPO: how they are sampled
}

// Pattern is an entry of PEFT's rank_pattern or alpha_pattern. Match is a regular
// expression for the end of a projection's name, from its beginning or from after
// a dot: q_proj, or layers\.0\..*_proj.
type Pattern struct {
	Match string  `json:"match"`
	Value float64 `json:"value"`
}

// EarlyStopping ends training when the held-out loss no longer falls. The zero
// value never does. It needs held-out rows and Recipe.EvalEvery.
type EarlyStopping struct {
	Patience int     `json:"patience"`  // evaluations in a row without progress after which training ends
	MinDelta float64 `json:"min_delta"` // nats a token by which the loss must fall to count as progress
}

// TrainJob is everything a trainer needs.
type TrainJob struct {
	Recipe  Recipe
	Rows    []Row
	Held    []Row       // held out, for the evaluation loss
	Samples [][]Message // prompts answered again as it learns
	Dir     string      // working folder: checkpoints; the same folder resumes
	Out     string      // where the adapter folder is written

	// Reward scores completions that GRPO sampled: one number for each, higher is better.
	Reward func(ctx context.Context, rollouts []Rollout) ([]float64, error)
}

// Rollout is one completion that a policy sampled while it was trained.
type Rollout struct {
	Row        int    `json:"row"` // index into TrainJob.Rows
	Completion string `json:"completion"`
	Finish     string `json:"finish"` // "stop" or "length"
}

// TrainPlan is what a run will cost, before its first step.
type TrainPlan struct {
	Kernels      string           `json:"kernels"`
	Threads      int              `json:"threads"`
	Examples     int              `json:"examples"`
	Tokens       int              `json:"tokens"`            // a whole run
	LossTokens   int              `json:"loss_tokens"`       // of which count in the loss
	Steps        int              `json:"steps"`             //
	Parameters   int64            `json:"parameters"`        // trained
	Computed     int              `json:"computed_tokens"`   // of which go through the base: none after the last target, shared prefixes once
	Shared       int              `json:"shared_tokens"`     // that shared prefixes save
	MicroTokens  int              `json:"micro_tokens"`      // tokens a pass
	Recomputed   int              `json:"recomputed_layers"` // layers whose activations are computed again
	Layers       int              `json:"layers"`            // of the base
	Bytes        map[string]int64 `json:"bytes"`             // weights, activations, logits, optimiser, cache
	PeakBytes    int64            `json:"peak_bytes"`
	Device       string           `json:"device,omitempty"`       // where the bytes are: empty = this machine's memory; "cuda: NVIDIA L4"
	DeviceBytes  int64            `json:"device_bytes,omitempty"` // that it has; 0 = not known
	TokensPerSec float64          `json:"tokens_per_second"`      // measured by a short probe; 0 = not probed
	Seconds      float64          `json:"seconds"`                // of training alone; 0 = not probed
	Warnings     []string         `json:"warnings"`
}

// TrainEvent is progress. Kind says which fields count.
type TrainEvent struct {
	Kind      string        `json:"kind"` // "step", "eval", "sample", "checkpoint", "note", "stop"; "reward" with GRPO
	Step      int           `json:"step"`
	Steps     int           `json:"steps"`
	Epoch     float64       `json:"epoch"`
	Loss      float64       `json:"loss"` // mean over the step's completion tokens; for "eval" over the held-out rows
	LR        float64       `json:"lr"`
	GradNorm  float64       `json:"grad_norm"`
	Tokens    int           `json:"tokens"` // seen so far
	TokPerSec float64       `json:"tokens_per_second"`
	Left      time.Duration `json:"left_ns"`
	Best      bool          `json:"best"`   // this evaluation is the best so far
	Sample    int           `json:"sample"` // index into TrainJob.Samples
	Text      string        `json:"text"`   // the sample's answer, the note, or why training stopped early
	Path      string        `json:"path"`   // of a checkpoint
	Bytes     int64         `json:"bytes"`  // memory in use, where the trainer reports it
	Reward    float64       `json:"reward"` // GRPO: mean reward of the step's rollouts; DPO, KTO, ORPO: by how much chosen answers are ahead, in the method's own terms
}

// TrainResult is what training made.
type TrainResult struct {
	Dir          string  `json:"dir"`   // the adapter folder
	Steps        int     `json:"steps"` // made
	StoppedEarly bool    `json:"stopped_early"`
	Loss         float64 `json:"loss"`      // last step
	EvalLoss     float64 `json:"eval_loss"` // of the kept adapter
	BestStep     int     `json:"best_step"`
	Tokens       int     `json:"tokens"`
	Seconds      float64 `json:"seconds"`
	PeakBytes    int64   `json:"peak_bytes"` // measured resident set
	Resumed      int     `json:"resumed"`    // step it was resumed from, 0 = from the start

	// Made says what made it, for the adapter's lineage: "trainer", versions of
	// libraries, "device". Nil: nothing beyond the job's own settings.
	Made map[string]string `json:"made,omitempty"`
}

// Trainer makes an adapter from rows.
type Trainer interface {
	Plan(ctx context.Context, job TrainJob) (TrainPlan, error)
	// Train runs or resumes the job in job.Dir. Cancelling ctx writes a
	// checkpoint and returns ctx's error.
	Train(ctx context.Context, job TrainJob, emit func(TrainEvent)) (TrainResult, error)
}

// Store keeps artifacts, runs and aliases. Writes are atomic; several processes
// may use one store.
type Store interface {
	// Put stores the files below dir (or the one file dir) as an artifact and
	// returns it with ID and Files set. Equal content gives the equal ID.
	Put(ctx context.Context, a Artifact, dir string) (Artifact, error)
	Artifact(ctx context.Context, id Digest) (Artifact, error)
	// Find resolves a digest, a unique prefix of its hex, or a name (newest first).
	Find(ctx context.Context, kind Kind, ref string) (Artifact, error)
	Artifacts(ctx context.Context, kind Kind) ([]Artifact, error)
	Open(ctx context.Context, d Digest) (io.ReadCloser, error)
	// Materialise lays the artifact's files out in a folder and returns its
	// path; the folder is read-only to callers and may be shared.
	Materialise(ctx context.Context, id Digest) (string, error)

	BeginRun(ctx context.Context, r Run) (Run, error)
	UpdateRun(ctx context.Context, r Run) error
	Run(ctx context.Context, id string) (Run, error)
	Runs(ctx context.Context) ([]Run, error)

	SetAlias(ctx context.Context, c AliasChange) error
	Alias(ctx context.Context, name string) (AliasChange, error)
	// History lists the changes of an alias, newest first; all aliases when name is empty.
	History(ctx context.Context, name string) ([]AliasChange, error)
	Close() error
}

// AliasChange is one movement of an alias.
type AliasChange struct {
	Alias   string    `json:"alias"` // the project's ("prod") or of the adapters of one name ("NAME@prod"); see ParseAlias
	Adapter Digest    `json:"adapter"`
	Verdict Digest    `json:"verdict"`         // the passed gate; empty when forced
	Share   float64   `json:"share,omitempty"` // of the requests for the name alone that go to this alias, 0 to 1
	Forced  bool      `json:"forced"`
	Why     string    `json:"why"` // "promote", "rollback", the reason given with --force
	Author  string    `json:"author"`
	At      time.Time `json:"at"`
}

// PullProgress reports bytes as they come, or go.
type PullProgress func(file string, done, total int64)

// PulledModel is a base model on disk.
type PulledModel struct {
	Ref    string `json:"ref"`    // as asked for
	Source string `json:"source"` // where it came from, for people
	Path   string `json:"path"`   // GGUF file or safetensors folder
	Digest Digest `json:"digest"` // of the weights
}

// PulledAdapter is an adapter of a Hub on disk, not yet bound to a base here.
type PulledAdapter struct {
	Ref    string `json:"ref"`    // as asked for
	Repo   string `json:"repo"`   // owner/name
	Commit string `json:"commit"` // that the revision was at
	Source string `json:"source"` // where it came from, for people
	Path   string `json:"path"`   // PEFT folder
	Digest Digest `json:"digest"` // of adapter_model.safetensors
}

// PushFile is one file to push: a file of this machine, or bytes.
type PushFile struct {
	Path string // in the repository, slash-separated
	From string // path on this machine; empty = Data counts
	Data []byte
}

// PushJob is what goes to a Hub.
type PushJob struct {
	Ref         string // hf:owner/name[@branch]
	Files       []PushFile
	Message     string // one line
	Description string // more lines, may be empty
	Public      bool   // anyone may read it; a repository that is made is private without
	CreatePR    bool   // propose the change instead of making it
	DryRun      bool   // ask, compare, and change nothing
	Force       bool   // also into a repository that holds something other than an adapter
}

// PushResult is what a push did, or would do.
type PushResult struct {
	Repo        string       `json:"repo"` // owner/name
	Revision    string       `json:"revision"`
	URL         string       `json:"url"`                    // of the repository, for a browser
	Commit      string       `json:"commit"`                 // that holds the files now; empty in a dry run that would make one
	PullRequest string       `json:"pull_request,omitempty"` // its address
	Created     bool         `json:"created"`                // the repository was not there
	Private     bool         `json:"private"`
	Unchanged   bool         `json:"unchanged"` // the files were there already: no commit was made
	Files       []PushedFile `json:"files"`
	SentBytes   int64        `json:"sent_bytes"` // of large files, repeated ones too
}

// PushedFile is what became of one file of a push.
type PushedFile struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	State  string `json:"state"`  // "new", "changed", "same"
	Digest Digest `json:"digest"` // sha256 of the content
}

// Hub brings bases and adapters from a Hub, and adapters to it.
type Hub interface {
	Pull(ctx context.Context, ref string, progress PullProgress) (PulledModel, error)
	PullAdapter(ctx context.Context, ref string, progress PullProgress) (PulledAdapter, error)
	// Push makes one commit, or none when the Hub has the files already. A push
	// that was cut off is gone on with by the next one.
	Push(ctx context.Context, job PushJob, progress PullProgress) (PushResult, error)
}
