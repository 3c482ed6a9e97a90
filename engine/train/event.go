package train

import (
	"time"
)

// Event is progress. Kind says which fields count: "step" (Loss, LR, GradNorm,
// Tokens, TokPerSec, Left), "eval" (Loss over the held-out examples, Best),
// "sample" (Sample, Text), "checkpoint" (Path), "note" (Text). Step, Steps and
// Epoch always count; Step is the number of steps made so far.
type Event struct {
	Kind      string
	Step      int
	Steps     int
	Epoch     float64
	Loss      float64 // mean over the step's targets; for "eval" over the held-out targets
	LR        float64
	GradNorm  float64 // before clipping
	Tokens    int     // seen so far in the whole run
	TokPerSec float64
	Left      time.Duration // of training alone
	Best      bool
	Sample    int // index of the prompt that was answered
	Text      string
	Path      string
}

// Result is what a run made. The adapter itself is the one that was passed in.
type Result struct {
	Steps        int       // made; fewer than planned when StoppedEarly
	StoppedEarly bool      // by Config.EarlyStop
	Loss         float64   // of the last step
	EvalLoss     float64   // of the kept adapter; 0 without held-out examples
	BestStep     int       // step of the kept adapter
	Tokens       int       // seen in the whole run
	Seconds      float64   // of training, over all parts of a resumed run
	PeakBytes    int64     // largest resident set of this process
	Resumed      int       // step it was resumed from, 0 = from the start
	Losses       []float64 // of every step, in order
	Evals        []Eval    // every evaluation, in order
}

// Eval is one evaluation on the held-out examples.
type Eval struct {
	Step int     `json:"step"`
	Loss float64 `json:"loss"`
}
