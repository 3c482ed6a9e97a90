package trl

import (
	"path/filepath"

	"dlm"
)

// BundleDir is the folder in a job's working folder that holds its bundle.
const BundleDir = "bundle"

// Files of a bundle; those that end in .jsonl hold one JSON value a line.
const (
	JobFile      = "job.json"      // Job
	RowsFile     = "rows.jsonl"    // training rows as token ids, see rows.go
	HeldFile     = "held.jsonl"    // held-out rows; empty when there are none
	OrderFile    = "order.jsonl"   // line s: the rows of step s, as indices into RowsFile
	SamplesFile  = "samples.jsonl" // {"prompt_ids"} to be answered as it learns
	ManifestFile = "manifest.json" // Manifest
	ProgramFile  = "dlm_trl.py"    // the program; its other files lie beside it, see programFiles
	InitDir      = "init"          // a PEFT folder to start from; absent: PEFT's own start
	RewardsDir   = "rewards"       // rewards/N.json answers rollout N
	OutDir       = "out"           // the adapter as PEFT saves it, complete once "done" was written
	LogFile      = "stderr.log"    // what the program wrote to its standard output and error
)

// Bundle is a job as a folder: what the program reads, and where it writes.
type Bundle struct {
	Dir      string // on this machine, absolute; Place.Fetch brings results back into it
	Job      Job
	Start    []string // command that starts the program in the folder, but for its last argument, the folder: python, options, ProgramFile
	Env      []string // added to the program's environment, NAME=value
	Manifest Manifest // what the folder is made of
}

// Path returns where a file of the bundle lies on this machine.
func (b Bundle) Path(name string) string { return filepath.Join(b.Dir, filepath.FromSlash(name)) }

// jobFormat is the version of job.json that this code writes.
const jobFormat = 1

// Job is job.json: what the program is to do.
type Job struct {
	Format     int        `json:"format"`
	Method     string     `json:"method"`
	Base       string     `json:"base"`        // folder of the base in Hugging Face's layout, on the machine that trains
	BaseDigest dlm.Digest `json:"base_digest"` // of the base's weights, so that a place can tell copies of it apart
	Recipe     dlm.Recipe `json:"recipe"`
	Steps      int        `json:"steps"`
	Quantize   string     `json:"quantize"`  // "none", "nf4"
	Precision  string     `json:"precision"` // "bf16", "f32"
	Unsloth    bool       `json:"unsloth"`
	Rows       string     `json:"rows"`
	Held       string     `json:"held"`
	Order      string     `json:"order"`
	Samples    string     `json:"samples"`
	Init       string     `json:"init,omitempty"`
	EndOfTurn  int32      `json:"end_of_turn"` // -1: none
	StopIDs    []int32    `json:"stop_ids"`
	Pad        int32      `json:"pad"` // -1: none
	Check      []Check    `json:"check,omitempty"`
}

// Check is a row as TRL itself would be given it. The program compares the ids
// that TRL makes of it with those of the bundle, and refuses a difference.
type Check struct {
	Row        int           `json:"row"` // index into RowsFile
	Messages   []dlm.Message `json:"messages,omitempty"`
	TrainFrom  int           `json:"train_from"`
	Prompt     string        `json:"prompt,omitempty"` // plain text
	Completion string        `json:"completion,omitempty"`

	// The other answer of a preference pair.
	Rejected     []dlm.Message `json:"rejected,omitempty"`
	RejectedText string        `json:"rejected_text,omitempty"`
}

// Manifest is manifest.json, written last: a folder with one is whole.
type Manifest struct {
	Format int                   `json:"format"`
	Files  map[string]dlm.Digest `json:"files"` // by name, without job.json and the program
}
