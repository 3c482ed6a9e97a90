package trl

import (
	"context"
	"fmt"
	"strings"

	"dlm"
)

// Failure is how a training program ended that did not finish.
type Failure struct {
	Type    string // "oom", "missing", "mismatch" ...; "died" for a program that ended without a word
	Message string // what was wrong
	Hint    string // what to do
	Step    int    // last step that it told of
	Words   string // end of what it wrote to its standard error
	Log     string // where the whole of that is
}

// Error says what was wrong and what to do, on one line where it can.
func (f *Failure) Error() string {
	text := f.Message
	if f.Step > 0 {
		text = fmt.Sprintf("at step %d: %s", f.Step, text)
	}
	if f.Hint != "" {
		text += "; " + f.Hint
	}
	return "the training program failed " + orColon(f.Step > 0) + text
}

func orColon(at bool) string {
	if at {
		return ""
	}
	return ": "
}

// failure turns the end of a program into an error with its last words.
func (f *follower) failure(ctx context.Context) error {
	words, ended, err := f.t.o.Place.LastWords(context.WithoutCancel(ctx), f.b)
	if err != nil {
		words = fmt.Sprintf("(its log cannot be read: %v)", err)
	}
	out := &Failure{Type: "died", Step: f.s.step.Step, Words: words, Log: f.b.Path(LogFile)}
	if e := f.s.failed; e != nil {
		out.Type, out.Message, out.Hint = e.Type, e.Message, e.Hint
		if out.Type == "oom" && out.Hint == "" {
			out.Hint = f.t.lessMemory(f.b.Job.Recipe, f.s.start)
		}
		if out.Hint == "" {
			out.Hint = "its log: " + out.Log
		}
		return out
	}
	out.Message = "it ended without a word"
	if ended != "" {
		out.Message += " (" + ended + ")"
	}
	if last := lastLine(words); last != "" {
		out.Message += fmt.Sprintf("; its last words: %q", last)
	}
	if strings.Contains(ended, "killed") {
		out.Hint = "was it killed for want of memory (see dmesg)? "
	}
	out.Hint += "the same command goes on from its last checkpoint; its log: " + out.Log
	return out
}

// lastLine is the last line that says something: of a Python traceback, the
// exception.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	const most = 400
	last := strings.TrimSpace(lines[len(lines)-1])
	if len(last) > most {
		last = last[:most] + "..."
	}
	return last
}

// lessMemory says which settings take less memory, for a program that ran out of it.
func (t *TRL) lessMemory(r dlm.Recipe, start *Event) string {
	var try []string
	if least := leastMicro(r.Method); r.MicroBatch != least {
		try = append(try, fmt.Sprintf("train.micro_batch=%d", least))
	}
	if r.Checkpointing != "on" {
		try = append(try, "train.checkpointing=on")
	}
	if t.o.Quantize != "nf4" && start != nil && strings.HasPrefix(start.Device, "cuda") {
		try = append(try, "quantize=nf4")
	}
	try = append(try, "a smaller data.max_len", "a smaller train.rank")
	return "try " + strings.Join(try, ", ")
}
