package trl

import (
	"bytes"
	"encoding/json"
	"fmt"

	"dlm"
)

// EventsFile is the file in a bundle that the program appends its events to, a
// JSON object a line.
const EventsFile = "events.jsonl"

// maxEvent is how long a line of events may be. Rollouts of a large group are the
// longest; a longer line is not the program's.
const maxEvent = 64 << 20

// Event is one line of events.jsonl. Kind says which fields count: those of
// dlm.TrainEvent ("step", "eval", "sample", "checkpoint", "note", "stop",
// "reward"), and
//
//	start    Versions, Device, DeviceBytes, PID
//	plan     Bytes: what the program found that it needs
//	rollout  N, Rollouts: waits for rewards/N.json
//	done     Result
//	error    Type, Message, Hint
//
// A "stop" with Asked says that the program wrote a checkpoint and ends because
// of the stop file; without, that training stopped early and "done" follows.
type Event struct {
	dlm.TrainEvent

	Versions    map[string]string `json:"versions,omitempty"` // python, torch, transformers, trl, peft ...
	Device      string            `json:"device,omitempty"`   // "cpu", "cuda: NVIDIA L4"
	DeviceBytes int64             `json:"vram,omitempty"`     // memory of the device
	PID         int               `json:"pid,omitempty"`

	N        int           `json:"n,omitempty"`
	Rollouts []dlm.Rollout `json:"rollouts,omitempty"`

	Asked bool `json:"asked,omitempty"`

	EvalLoss     float64 `json:"eval_loss,omitempty"`
	BestStep     int     `json:"best_step,omitempty"`
	Seconds      float64 `json:"seconds,omitempty"`
	PeakBytes    int64   `json:"peak_bytes,omitempty"`
	Resumed      int     `json:"resumed,omitempty"`
	StoppedEarly bool    `json:"stopped_early,omitempty"`

	Type    string `json:"type,omitempty"` // of an error: "oom", "missing", "mismatch", ...
	Message string `json:"message,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// parser cuts a stream of chunks into events. A line that is none is passed on as
// a note: a program that was killed in the middle of a line, or a full disk, must
// not hide what comes after.
type parser struct{ rest []byte }

// push adds a chunk and calls f for each whole line in it.
func (p *parser) push(chunk []byte, f func(Event)) {
	p.rest = append(p.rest, chunk...)
	for {
		i := bytes.IndexByte(p.rest, '\n')
		if i < 0 {
			break
		}
		if line := bytes.TrimSpace(p.rest[:i]); len(line) > 0 {
			f(parseEvent(line))
		}
		p.rest = p.rest[i+1:]
	}
	if len(p.rest) > maxEvent {
		f(unreadable(p.rest, fmt.Errorf("more than %d bytes without an end of line", maxEvent)))
		p.rest = nil
	}
}

func parseEvent(line []byte) Event {
	var e Event
	if err := json.Unmarshal(line, &e); err != nil {
		return unreadable(line, err)
	}
	if e.Kind == "" {
		return unreadable(line, fmt.Errorf("it has no kind"))
	}
	return e
}

func unreadable(line []byte, err error) Event {
	const shown = 80
	text := string(line)
	if len(text) > shown {
		text = text[:shown] + "..."
	}
	var e Event
	e.Kind, e.Text = "note", fmt.Sprintf("a line of %s cannot be read (%v): %q", EventsFile, err, text)
	return e
}
