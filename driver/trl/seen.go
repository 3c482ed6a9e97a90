package trl

import (
	"fmt"
	"maps"
	"time"

	"dlm"
)

// seen is what the program's events have said so far.
type seen struct {
	start   *Event // of the program that runs or ran last
	step    dlm.TrainEvent
	done    *Event
	failed  *Event
	stopped bool   // it wrote a checkpoint and ended, as it was asked to
	rollout *Event // the newest that no later event shows to be answered

	first     time.Time // when this process saw its first step
	firstStep int
}

// restarted forgets how an earlier program ended.
func (s *seen) restarted() {
	s.start, s.done, s.failed, s.stopped, s.rollout = nil, nil, nil, false, nil
}

// take records an event.
func (s *seen) take(e Event) {
	switch e.Kind {
	case "start":
		s.restarted()
		s.start = &e
	case "step":
		s.step, s.rollout = e.TrainEvent, nil
	case "rollout":
		s.rollout = &e
	case "reward":
		s.rollout = nil
	case "stop":
		s.stopped = s.stopped || e.Asked
	case "done":
		s.done = &e
	case "error":
		s.failed = &e
	}
}

// show is the event as dlm.Trainer's callers see it, if it is for them.
func (s *seen) show(e Event) (dlm.TrainEvent, bool) {
	out := e.TrainEvent
	switch e.Kind {
	case "start":
		out.Kind, out.Text = "note", e.about()
	case "step":
		if s.first.IsZero() {
			s.first, s.firstStep = time.Now(), e.Step
		}
		if made := e.Step - s.firstStep; out.Left == 0 && made > 0 {
			out.Left = time.Since(s.first) / time.Duration(made) * time.Duration(e.Steps-e.Step)
		}
	case "stop":
		return out, !e.Asked
	case "eval", "sample", "checkpoint", "note", "reward":
	default:
		return out, false
	}
	return out, true
}

// about says what trains, for people.
func (e Event) about() string {
	text := "training"
	for _, p := range []string{"trl", "peft", "transformers", "torch", "bitsandbytes", "unsloth"} {
		if v := e.Versions[p]; v != "" {
			text += fmt.Sprintf(" %s %s,", p, v)
		}
	}
	if e.Device != "" {
		text += " on " + e.Device
	}
	return text
}

// made is what an adapter's lineage keeps of how it was trained.
func (s *seen) made(place string) map[string]string {
	out := map[string]string{"trainer": "trl", "where": place}
	if s.start == nil {
		return out
	}
	maps.Copy(out, s.start.Versions)
	out["device"] = s.start.Device
	return out
}
