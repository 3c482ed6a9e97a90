package dlm

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Digest names immutable content: "sha256:" followed by 64 hex digits.
type Digest string

// ParseDigest checks s and returns it as a Digest.
func ParseDigest(s string) (Digest, error) {
	raw, ok := strings.CutPrefix(s, "sha256:")
	if !ok || len(raw) != 64 {
		return "", fmt.Errorf("digest %q: expected sha256: and 64 hex digits", s)
	}
	if _, err := hex.DecodeString(raw); err != nil {
		return "", fmt.Errorf("digest %q: %w", s, err)
	}
	return Digest(s), nil
}

// Hex returns the digest without its "sha256:" prefix.
func (d Digest) Hex() string { return strings.TrimPrefix(string(d), "sha256:") }

// Short returns the first twelve hex digits, for people.
func (d Digest) Short() string {
	h := d.Hex()
	if len(h) > 12 {
		return h[:12]
	}
	return h
}

// Kind says what an artifact is.
type Kind string

// The kinds of artifact that a project holds.
const (
	KindBase    Kind = "base"    // frozen weights with tokenizer and chat template
	KindDataset Kind = "dataset" // training rows, JSONL
	KindGolden  Kind = "golden"  // a golden set, never trained on
	KindAdapter Kind = "adapter" // a PEFT folder
	KindReport  Kind = "report"  // samples and scores of one evaluation
	KindVerdict Kind = "verdict" // a gate's decision on two reports
	KindExport  Kind = "export"  // record of files written for another engine, and of their proof
)

// Artifact is something a step made: immutable content with its lineage.
type Artifact struct {
	ID      Digest            `json:"id"`      // hash of the content (for a folder: of its manifest)
	Kind    Kind              `json:"kind"`    //
	Name    string            `json:"name"`    // for people; not unique
	Created time.Time         `json:"created"` //
	Parents []Parent          `json:"parents"` // what it was made from, by role
	Params  map[string]string `json:"params"`  // the settings that made it
	Seed    uint64            `json:"seed"`    //
	Code    string            `json:"code"`    // version of dlm and kernel set that made it
	Files   []File            `json:"files"`   // content, by path inside the artifact
}

// Parent is one edge of lineage: the artifact that played Role.
type Parent struct {
	Role string `json:"role"` // "base", "data", "golden", "candidate", ...
	ID   Digest `json:"id"`
}

// File is one file of an artifact.
type File struct {
	Path   string `json:"path"` // slash-separated, relative, no ".."
	Digest Digest `json:"digest"`
	Size   int64  `json:"size"` // bytes
}

// RunStatus is where a run stands.
type RunStatus string

// The states of a run.
const (
	RunRunning   RunStatus = "running"
	RunDone      RunStatus = "done"
	RunFailed    RunStatus = "failed"
	RunStopped   RunStatus = "stopped" // asked to stop; can be resumed
	RunCancelled RunStatus = "cut off" // its process is gone; can be resumed
)

// Run is one execution of a step: what was asked, how far it got, what it made.
type Run struct {
	ID      string             `json:"id"`    // short, sortable by start time
	Stage   string             `json:"stage"` // "train", "eval", "gate", ...
	Status  RunStatus          `json:"status"`
	Started time.Time          `json:"started"`
	Ended   time.Time          `json:"ended"` // zero while running
	PID     int                `json:"pid"`
	Params  map[string]string  `json:"params"`
	Inputs  []Parent           `json:"inputs"`
	Outputs []Digest           `json:"outputs"`
	Metrics map[string]float64 `json:"metrics"` // last value of each
	Dir     string             `json:"dir"`     // working folder (checkpoints, logs)
	Error   string             `json:"error,omitempty"`
	Key     Digest             `json:"key"` // hash of stage, params and inputs: equal key, equal work
}
