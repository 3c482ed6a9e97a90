package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dlm"
)

// Node is one stage of a project: what decides its outputs, and the function
// that makes them.
type Node struct {
	Name   string            // "check", "train", "eval", "gate", "promote"
	Code   string            // version of what makes the outputs, where it matters
	Params map[string]string // settings that decide the outputs
	Inputs []Input

	// Do makes the outputs. Cancelling ctx must leave what can be resumed in
	// Job.Dir and return ctx's error.
	Do func(ctx context.Context, j *Job) ([]dlm.Artifact, error)
	// After, when set, looks at the outputs each time the stage is up to date,
	// whether it ran or was skipped. Its error ends the run of the graph; a
	// *Halt says that the stage did its work and the answer was no.
	After func(ctx context.Context, outputs []dlm.Artifact) error
	// UpToDate, when set, replaces the search for an earlier run: for stages
	// whose effect is not an artifact, such as moving an alias.
	UpToDate func(ctx context.Context, inputs []dlm.Parent) (ok bool, reason string, err error)
	// Estimate, when set, says what running it will cost.
	Estimate func(ctx context.Context, inputs []dlm.Parent) (Estimate, error)
}

// Input is one artifact that a stage needs: a given one, or an output of an
// earlier stage.
type Input struct {
	Role string
	ID   dlm.Digest // given, or
	From string     // name of the stage that makes it
	Kind dlm.Kind   // which of its outputs
}

// Estimate is what a stage will cost.
type Estimate struct {
	Seconds   float64 `json:"seconds"`    // 0 = not known
	PeakBytes int64   `json:"peak_bytes"` // 0 = not known
	Note      string  `json:"note,omitempty"`
}

// Action says what happens to a stage.
type Action string

// The actions.
const (
	ActionRun    Action = "run"
	ActionResume Action = "resume"
	ActionSkip   Action = "skip"
	ActionBlock  Action = "blocked" // an earlier stage said no
)

// Step is what happens, or would happen, to one stage, and why.
type Step struct {
	Stage    string       `json:"stage"`
	Action   Action       `json:"action"`
	Reason   string       `json:"reason"`
	Changes  []Change     `json:"changes,omitempty"`
	Run      string       `json:"run,omitempty"`      // that it is skipped for, resumed, or was made
	Outputs  []dlm.Digest `json:"outputs,omitempty"`  // once known
	Seconds  float64      `json:"seconds,omitempty"`  // it took
	Estimate *Estimate    `json:"estimate,omitempty"` // in a dry run
	Error    string       `json:"error,omitempty"`
}

// String is the step on one line: "train: lr 0.001 -> 0.0001".
func (s Step) String() string { return s.Stage + ": " + s.Reason }

// Halt is the error of a stage that did its work and whose answer stops the
// rest: a gate that failed. Code is the exit code of the process.
type Halt struct {
	Stage  string
	Code   int
	Reason string
}

// Error is the reason.
func (h *Halt) Error() string { return h.Stage + ": " + h.Reason }

// ErrStopped is returned (wrapped) when a run was asked to stop.
var ErrStopped = errors.New("stopped; the same command goes on from here")

// Graph is a project's stages in the order in which they run.
type Graph struct {
	Store dlm.Store
	State string // the project's .dlm folder; runs work in its runs/ID
	Nodes []Node
	// Exclusive says that the caller holds the project's lock: a run recorded
	// as running is then known to be cut off.
	Exclusive bool
	// Observe, when set, is told each step when it begins and when it has ended
	// (done true).
	Observe func(s Step, done bool)
}

// state is what is known of the graph while it is walked.
type state struct {
	outputs map[string][]dlm.Artifact // of stages that are up to date
	pending map[string]bool           // would run: their outputs are not known yet
	runs    []dlm.Run                 // newest first
}

// Plan says what Run would do, without doing it.
func (g *Graph) Plan(ctx context.Context) ([]Step, error) {
	st, err := g.start(ctx)
	if err != nil {
		return nil, err
	}
	var steps []Step
	var halted error
	for _, n := range g.Nodes {
		s, err := g.decide(ctx, n, st)
		if err != nil {
			return steps, fmt.Errorf("%s: %w", n.Name, err)
		}
		if halted != nil {
			s.Action, s.Reason = ActionBlock, "not reached: "+halted.Error()
			st.pending[n.Name] = true
			steps = append(steps, s.Step)
			continue
		}
		if s.Action == ActionSkip {
			st.outputs[n.Name] = s.outputs
			if n.After != nil {
				if halted = n.after(ctx, s.outputs); halted != nil {
					s.Error = halted.Error()
				}
			}
		} else {
			st.pending[n.Name] = true
			if n.Estimate != nil {
				e, err := n.Estimate(ctx, s.inputs)
				if err != nil {
					return steps, fmt.Errorf("%s: estimate: %w", n.Name, err)
				}
				s.Estimate = &e
			}
		}
		steps = append(steps, s.Step)
	}
	return steps, nil
}

// Run brings every stage up to date, in order, and stops at the first that
// fails or says no. The steps tell what happened, also beside an error.
func (g *Graph) Run(ctx context.Context) ([]Step, error) {
	st, err := g.start(ctx)
	if err != nil {
		return nil, err
	}
	var steps []Step
	for _, n := range g.Nodes {
		s, err := g.decide(ctx, n, st)
		if err != nil {
			return steps, fmt.Errorf("%s: %w", n.Name, err)
		}
		g.observe(s.Step, false)
		outputs := s.outputs
		if s.Action != ActionSkip {
			start := time.Now()
			var run dlm.Run
			run, outputs, err = g.execute(ctx, n, s)
			s.Run, s.Seconds = run.ID, time.Since(start).Seconds()
		}
		for _, o := range outputs {
			s.Outputs = append(s.Outputs, o.ID)
		}
		if err == nil && n.After != nil {
			err = n.after(ctx, outputs)
		}
		if err != nil {
			s.Error = err.Error()
		}
		g.observe(s.Step, true)
		steps = append(steps, s.Step)
		if err != nil {
			var h *Halt
			if errors.As(err, &h) || errors.Is(err, ErrStopped) {
				return steps, err
			}
			return steps, fmt.Errorf("%s: %w", n.Name, err)
		}
		st.outputs[n.Name] = outputs
	}
	return steps, nil
}

// after calls After and writes the stage's name into its Halt.
func (n *Node) after(ctx context.Context, outputs []dlm.Artifact) error {
	err := n.After(ctx, outputs)
	var h *Halt
	if errors.As(err, &h) && h.Stage == "" {
		h.Stage = n.Name
	}
	return err
}

func (g *Graph) observe(s Step, done bool) {
	if g.Observe != nil {
		g.Observe(s, done)
	}
}

// start checks the graph's shape and reads the runs.
func (g *Graph) start(ctx context.Context) (*state, error) {
	for i, n := range g.Nodes {
		for j, m := range g.Nodes[:i] {
			if m.Name == n.Name {
				return nil, fmt.Errorf("stages %d and %d are both called %s", j+1, i+1, n.Name)
			}
		}
		for _, in := range n.Inputs {
			if in.From != "" && !slices.ContainsFunc(g.Nodes[:i], func(m Node) bool { return m.Name == in.From }) {
				return nil, fmt.Errorf("%s: its input %s comes from %s, which is no earlier stage", n.Name, in.Role, in.From)
			}
		}
	}
	runs, err := g.Store.Runs(ctx)
	if err != nil {
		return nil, err
	}
	return &state{outputs: map[string][]dlm.Artifact{}, pending: map[string]bool{}, runs: runs}, nil
}

// decision is a step with what is needed to take it.
type decision struct {
	Step
	inputs  []dlm.Parent
	key     dlm.Digest
	resume  dlm.Run // to go on with
	outputs []dlm.Artifact
}

// decide says what happens to a stage, given what came before.
func (g *Graph) decide(ctx context.Context, n Node, st *state) (decision, error) {
	s := decision{Step: Step{Stage: n.Name, Action: ActionRun}}
	var waits []string
	for _, in := range n.Inputs {
		if in.From == "" {
			if in.ID == "" {
				return s, fmt.Errorf("its input %s is not given", in.Role)
			}
			s.inputs = append(s.inputs, dlm.Parent{Role: in.Role, ID: in.ID})
			continue
		}
		if st.pending[in.From] {
			if !slices.Contains(waits, in.From) {
				waits = append(waits, in.From)
			}
			continue
		}
		out, err := outputOf(st.outputs[in.From], in)
		if err != nil {
			return s, err
		}
		s.inputs = append(s.inputs, dlm.Parent{Role: in.Role, ID: out.ID})
	}
	if len(waits) > 0 {
		s.Reason = "follows " + strings.Join(waits, " and ")
		return s, nil
	}
	if n.UpToDate != nil {
		ok, reason, err := n.UpToDate(ctx, s.inputs)
		if err != nil {
			return s, err
		}
		if ok {
			s.Action = ActionSkip
		}
		s.Reason = reason
		s.key = Key(n.Name, n.Code, n.Params, s.inputs)
		return s, nil
	}
	return s, g.compare(ctx, n, st, &s)
}

// outputOf picks the output that an input asks for.
func outputOf(outputs []dlm.Artifact, in Input) (dlm.Artifact, error) {
	for _, o := range outputs {
		if in.Kind == "" || o.Kind == in.Kind {
			return o, nil
		}
	}
	return dlm.Artifact{}, fmt.Errorf("%s made no %s for its input %s", in.From, in.Kind, in.Role)
}

// compare looks for an earlier run of the same work, and where there is none
// says what changed since the last.
func (g *Graph) compare(ctx context.Context, n Node, st *state, s *decision) error {
	s.key = Key(n.Name, n.Code, n.Params, s.inputs)
	var last *dlm.Run
	for i := range st.runs {
		r := &st.runs[i]
		if r.Stage != n.Name {
			continue
		}
		if r.Key != s.key {
			if last == nil {
				last = r
			}
			continue
		}
		switch r.Status {
		case dlm.RunDone:
			outputs, err := g.loadOutputs(ctx, *r)
			if err != nil {
				s.Reason = fmt.Sprintf("run %s did the same, but %v", r.ID, err)
				return nil
			}
			s.Action, s.Run, s.outputs = ActionSkip, r.ID, outputs
			s.Reason = fmt.Sprintf("skipped: same %s as run %s", sameWhat(s.inputs), r.ID)
			return nil
		case dlm.RunRunning:
			if !g.Exclusive {
				s.Action, s.Run, s.resume = ActionResume, r.ID, *r
				s.Reason = fmt.Sprintf("run %s is at it now (process %d)", r.ID, r.PID)
				return nil
			}
			fallthrough
		case dlm.RunCancelled, dlm.RunStopped:
			s.Action, s.Run, s.resume = ActionResume, r.ID, *r
			s.Reason = fmt.Sprintf("resumed: run %s was %s", r.ID, map[bool]string{true: "stopped", false: "cut off"}[r.Status == dlm.RunStopped])
			return nil
		case dlm.RunFailed:
			s.Action, s.Run, s.resume = ActionResume, r.ID, *r
			s.Reason = fmt.Sprintf("again: run %s failed (%s)", r.ID, firstLine(r.Error))
			return nil
		}
	}
	if last == nil {
		s.Reason = "has not run yet"
		return nil
	}
	params := map[string]string{"code": n.Code}
	for k, v := range n.Params {
		params[k] = v
	}
	s.Changes = Changes(last.Params, params, last.Inputs, s.inputs)
	var texts []string
	for _, c := range s.Changes {
		texts = append(texts, c.String())
	}
	if len(texts) > 4 {
		texts = append(texts[:4], fmt.Sprintf("and %d more", len(texts)-4))
	}
	s.Reason = strings.Join(texts, ", ")
	if len(texts) == 0 {
		s.Reason = fmt.Sprintf("run %s was recorded another way", last.ID)
	}
	return nil
}

// sameWhat lists the roles of the inputs: "base, data and settings".
func sameWhat(inputs []dlm.Parent) string {
	var roles []string
	for _, p := range inputs {
		if !slices.Contains(roles, p.Role) {
			roles = append(roles, p.Role)
		}
	}
	if len(roles) == 0 {
		return "settings"
	}
	return strings.Join(roles, ", ") + " and settings"
}

// loadOutputs reads what a run made. A file that is gone or damaged is an
// error: the stage must make it again.
func (g *Graph) loadOutputs(ctx context.Context, r dlm.Run) ([]dlm.Artifact, error) {
	out := make([]dlm.Artifact, 0, len(r.Outputs))
	for _, id := range r.Outputs {
		a, err := g.Store.Artifact(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, f := range a.Files {
			content, err := g.Store.Open(ctx, f.Digest)
			if err != nil {
				return nil, err
			}
			content.Close()
		}
		out = append(out, a)
	}
	return out, nil
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}
