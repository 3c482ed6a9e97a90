package trl

import (
	"context"
	"fmt"
	"time"

	"dlm"
)

// Options connect the trainer with the rest of dlm. All functions but Init are
// needed.
type Options struct {
	// Encoder is the only source of ids, masks and prompts.
	Encoder dlm.Codec
	// Order returns the rows of each step as indices, for n rows in batches: the
	// native engine's own, so that both trainers see the same rows in the same
	// steps. A step's slice is valid until the next call.
	Order func(n, batch int, seed uint64, shuffle bool) func(step int) []int
	// Base returns the base's folder in Hugging Face's layout.
	Base func(ctx context.Context) (string, error)
	// BaseDigest names the base's weights.
	BaseDigest dlm.Digest
	// Init writes the PEFT folder that training starts from; nil: PEFT's own start.
	Init func(r dlm.Recipe, dir string) error
	// Bind makes the checks of an adapter of ours on the PEFT folder dir (every
	// tensor binds, a probe prompt moves) and writes it, with its identity, to out.
	Bind func(dir, out string) error

	Place     Place
	Python    string // interpreter where the program runs
	Quantize  string // "", "none" or "nf4": bitsandbytes' NF4 with double quantisation
	Unsloth   bool
	OwnIDs    bool   // train on dlm's ids even where TRL would make others of a row
	Precision string // of recipes that name none; "" = bf16
	Device    Device // what the program will find there, as far as it is known
	Threads   int    // of the program on a CPU; 0 = as torch chooses
	Pad       int32  // token for padding, -1: none

	Processes int    // that train together on the place's machine, each on a GPU of its own; 0 or 1: one
	Launcher  string // that starts them: "torchrun" (also when empty) or "accelerate"

	PollEvery time.Duration // how often events are looked for; 0 = 200 ms
	StopWait  time.Duration // how long a program that was asked to stop may take; 0 = 10 min
}

// TRL is a trainer for one base. It implements dlm.Trainer.
type TRL struct{ o Options }

// New checks the options.
func New(o Options) (*TRL, error) {
	switch {
	case o.Encoder == nil, o.Order == nil, o.Base == nil, o.Bind == nil, o.Place == nil:
		return nil, fmt.Errorf("trl: Encoder, Order, Base, Bind and Place must be given")
	case o.Python == "":
		return nil, fmt.Errorf("trl: no Python is given")
	}
	if _, err := launch(o.Python, o.Launcher, o.Processes, true); err != nil {
		return nil, err
	}
	if o.PollEvery <= 0 {
		o.PollEvery = 200 * time.Millisecond
	}
	if o.StopWait <= 0 {
		o.StopWait = 10 * time.Minute
	}
	return &TRL{o: o}, nil
}
