package trl

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"time"
)

//go:embed program/probe.py
var probe string

// examineTime is how long an environment may take to import its libraries.
const examineTime = 3 * time.Minute

// Environment is what the Python of an environment can train with.
type Environment struct {
	Interpreter string            `json:"interpreter"`
	From        string            `json:"from"`   // who named it
	Python      string            `json:"python"` // version
	Packages    map[string]string `json:"packages"`
	CUDA        bool              `json:"cuda"`       // torch can use a GPU
	CUDABuilt   string            `json:"cuda_built"` // version that torch was built for; empty: none
	Driver      string            `json:"driver"`     // of NVIDIA; empty: none was found
	Devices     []GPU             `json:"devices"`
	Unsloth     bool              `json:"unsloth"`
	DiskFree    int64             `json:"disk_free_bytes"` // where the environment lies; 0 = not known
	Errors      map[string]string `json:"errors"`          // of packages that are there and cannot be imported
	Findings    []Finding         `json:"findings"`
}

// GPU is a device that torch can use.
type GPU struct {
	Name       string `json:"name"`
	Bytes      int64  `json:"bytes"`
	Capability string `json:"capability"`
}

// Finding is something that is not as it should be.
type Finding struct {
	Fatal bool   `json:"fatal"` // training fails for it
	Text  string `json:"text"`
	Next  string `json:"next"` // what to do
}

// Needs is what a project asks of an environment.
type Needs struct {
	NF4     bool
	Unsloth bool
}

// Examine starts the interpreter and looks at what is there.
func Examine(ctx context.Context, p Python, n Needs) Environment {
	return examine(ctx, p, n, func(ctx context.Context, packages []string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, p.Path, append([]string{"-c", probe}, packages...)...)
		cmd.Env = append(cmd.Environ(), environment...)
		return cmd
	})
}

// examine asks the interpreter that command starts with the probe. What belongs to
// this machine, driver and disk, is looked at where the interpreter is here.
func examine(ctx context.Context, p Python, n Needs, command func(ctx context.Context, packages []string) *exec.Cmd) Environment {
	e := Environment{Interpreter: p.Path, From: p.From, Packages: map[string]string{}, Errors: map[string]string{}, Devices: []GPU{}, Findings: []Finding{}}
	ctx, cancel := context.WithTimeout(ctx, examineTime)
	defer cancel()
	cmd := command(ctx, slices.Sorted(maps.Keys(Pins())))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		e.add(true, fmt.Sprintf("%s cannot be asked: %v: %s", p.Path, err, lastLine(stderr.String())), "dlm trainer install trl makes an environment; trl.python in dlm.yaml names another")
		return e
	}
	// Libraries may print as they are imported: the answer is the last line.
	if err := e.read([]byte(lastLineWhole(string(out)))); err != nil {
		e.add(true, fmt.Sprintf("%s gave no answer that can be read: %v", p.Path, err), "dlm trainer install trl")
		return e
	}
	if cmd.Stdin == nil {
		e.Driver, e.DiskFree = driverVersion(ctx), freeSpace(p.Path)
	}
	e.judge(n)
	return e
}

// read takes the probe's answer.
func (e *Environment) read(raw []byte) error {
	if err := json.Unmarshal(raw, e); err != nil {
		return err
	}
	if e.Python == "" || e.Packages == nil {
		return errors.New("it names no version of Python")
	}
	if e.Errors == nil {
		e.Errors = map[string]string{}
	}
	if e.Devices == nil {
		e.Devices = []GPU{}
	}
	e.Findings = []Finding{}
	return nil
}

func (e *Environment) add(fatal bool, text, next string) {
	e.Findings = append(e.Findings, Finding{fatal, text, next})
}

// littleSpace is the free disk space below which the user is told: checkpoints,
// and the base as a folder, take some.
const littleSpace = 10 << 30

// judge says what is wrong, the worst first.
func (e *Environment) judge(n Needs) {
	const again = "dlm trainer install trl"
	for _, name := range slices.Sorted(maps.Keys(Pins())) {
		needed := name != "bitsandbytes" || n.NF4
		have, pin := e.Packages[name], Pins()[name]
		switch {
		case have == "" && needed:
			e.add(true, name+" is not installed", again+", or install "+name+"=="+pin+" into this environment")
		case e.Errors[name] != "" && needed:
			e.add(true, name+" cannot be imported: "+e.Errors[name], again+" makes the environment anew")
		case have != "" && have != pin && !strings.HasPrefix(have, pin+"+"):
			e.add(false, fmt.Sprintf("%s is %s; dlm is tested with %s", name, have, pin), again+" makes an environment with that")
		}
	}
	switch {
	case e.CUDA:
	case e.Driver != "" && e.CUDABuilt == "" && e.Packages["torch"] != "":
		e.add(true, "there is an NVIDIA GPU (driver "+e.Driver+"), and torch was built without CUDA", again+" --cuda cu128")
	case e.Driver != "" && e.CUDABuilt != "":
		e.add(true, fmt.Sprintf("there is an NVIDIA GPU (driver %s), and torch, built for CUDA %s, cannot use it", e.Driver, e.CUDABuilt),
			"a newer driver, or "+again+" --cuda with the CUDA that nvidia-smi shows, such as cu126")
	case e.Packages["torch"] != "":
		e.add(n.Unsloth, "no GPU: training is slow, for trials only", "train where a GPU is (trl.where in dlm.yaml), or with trainer: native, which is made for CPUs")
	}
	if n.Unsloth && !e.Unsloth {
		e.add(true, "trl.unsloth is true, and unsloth is not installed", "install it into this environment ("+e.Interpreter+" -m pip install unsloth), or leave trl.unsloth out")
	}
	if e.DiskFree > 0 && e.DiskFree < littleSpace {
		e.add(false, fmt.Sprintf("%s of disk space are free where the environment lies", gib(e.DiskFree)), "checkpoints and the base's folder take some: make room, or set DLM_CACHE to another disk")
	}
	slices.SortStableFunc(e.Findings, func(a, b Finding) int {
		switch {
		case a.Fatal == b.Fatal:
			return 0
		case a.Fatal:
			return -1
		}
		return 1
	})
}

// Ready says whether nothing stands in the way of training.
func (e *Environment) Ready() bool {
	return !slices.ContainsFunc(e.Findings, func(f Finding) bool { return f.Fatal })
}

func lastLineWhole(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// driverVersion asks NVIDIA's own tool; "" where there is none.
func driverVersion(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader").Output()
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return first
}
