package trl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// torchIndex is where PyTorch's own packages for one CUDA version are.
const torchIndex = "https://download.pytorch.org/whl/"

// Bytes that an environment takes on disk: torch's CUDA libraries are most of it.
const (
	spaceCUDA = 9 << 30
	spaceCPU  = 3 << 30
)

// Install makes an environment for the program.
type Install struct {
	Root   string // where environments are kept
	Dir    string // another folder for this one; "" = below Root
	Wheels string // folder of wheels: nothing is fetched; "" = from the package index
	CUDA   string // "cu128", "cpu": torch from PyTorch's own index; "" = the package index's choice
	Python string // interpreter to make it from; "" = looked for
	Again  bool   // also where a whole one is there

	// Progress is told what happens; nil: nobody is.
	Progress func(line string)
}

var cudaName = regexp.MustCompile(`^(cpu|cu\d{3}|rocm\d(\.\d+)+)$`)

// Run makes the environment and returns its interpreter. A half-made one of
// an earlier attempt is made anew; one that is whole is left alone.
func (in Install) Run(ctx context.Context) (Python, Receipt, error) {
	if in.Progress == nil {
		in.Progress = func(string) {}
	}
	if in.CUDA != "" && !cudaName.MatchString(in.CUDA) {
		return Python{}, Receipt{}, fmt.Errorf("--cuda %s: expected cpu, or a CUDA version as PyTorch writes it, such as cu128", in.CUDA)
	}
	dir, err := in.place()
	if err != nil {
		return Python{}, Receipt{}, err
	}
	p := Python{Path: interpreter(dir), From: "dlm trainer install trl"}
	if err := errors.Join(os.MkdirAll(in.Root, 0o755), os.MkdirAll(filepath.Dir(dir), 0o755)); err != nil {
		return p, Receipt{}, err
	}
	unlock, err := lockFile(EnvironmentDir(in.Root)+".lock", "another process is installing into "+dir+"; wait for it")
	if err != nil {
		return p, Receipt{}, err
	}
	defer unlock()
	if r, err := ReadReceipt(dir); err == nil && r.Requirements == requirementsHash() && !in.Again && (in.CUDA == "" || in.CUDA == r.CUDA) {
		return p, r, in.point(dir)
	}
	if err := in.clear(dir); err != nil {
		return p, Receipt{}, err
	}
	r, err := in.make(ctx, dir)
	if err != nil {
		return p, r, errors.Join(err, os.RemoveAll(dir))
	}
	return p, r, in.point(dir)
}

// place is the folder of the environment.
func (in Install) place() (string, error) {
	if in.Dir == "" {
		return EnvironmentDir(in.Root), nil
	}
	return filepath.Abs(in.Dir)
}

// point lets Installed find an environment that lies elsewhere.
func (in Install) point(dir string) error {
	pointer := EnvironmentDir(in.Root) + ".elsewhere"
	if in.Dir == "" {
		if err := os.Remove(pointer); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return os.WriteFile(pointer, []byte(dir), 0o644)
}

// clear removes what an earlier attempt left, and nothing else.
func (in Install) clear(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if !exists(filepath.Join(dir, "pyvenv.cfg")) && !exists(filepath.Join(dir, startedFile)) {
		return fmt.Errorf("%s holds something else than a Python environment: choose another --dir", dir)
	}
	in.Progress("removing what an earlier attempt left in " + dir)
	return os.RemoveAll(dir)
}

// startedFile marks a folder as ours before Python has written anything to it.
const startedFile = ".dlm-installing"

// make makes and checks the environment; the receipt makes it whole.
func (in Install) make(ctx context.Context, dir string) (Receipt, error) {
	r := Receipt{Requirements: requirementsHash(), CUDA: in.CUDA}
	space := int64(spaceCUDA)
	if in.CUDA == "cpu" || runtime.GOOS == "darwin" {
		space = spaceCPU
	}
	if free := freeSpace(dir); free > 0 && free < space {
		return r, fmt.Errorf("%s has %s of disk space left, and the environment takes about %s: make room, or choose another disk with --dir", dir, gib(free), gib(space))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return r, err
	}
	if err := os.WriteFile(filepath.Join(dir, startedFile), nil, 0o644); err != nil {
		return r, err
	}
	tool, err := in.tool()
	if err != nil {
		return r, err
	}
	r.With = tool.name
	wanted := filepath.Join(dir, "requirements.txt")
	if err := os.WriteFile(wanted, []byte(in.requirements(tool)), 0o644); err != nil {
		return r, err
	}
	for _, step := range []struct {
		what string
		args []string
	}{
		{"making a Python environment in " + dir, tool.create(dir)},
		{fmt.Sprintf("installing torch %s, transformers, peft, trl and what they need: about %s, some minutes", Pins()["torch"], gib(space)), tool.install(in, dir, wanted)},
	} {
		in.Progress(step.what)
		if err := in.run(ctx, step.args); err != nil {
			return r, err
		}
	}
	in.Progress("importing what was installed")
	e := Examine(ctx, Python{Path: interpreter(dir)}, Needs{NF4: runtime.GOOS == "linux"})
	for _, f := range e.Findings {
		if f.Fatal && !strings.Contains(f.Text, "GPU") { // a driver that is too old is for doctor to say
			return r, fmt.Errorf("the environment was made and does not work: %s", f.Text)
		}
	}
	r.Versions, r.Made = e.Packages, time.Now().UTC().Truncate(time.Second)
	raw, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return r, err
	}
	tmp := filepath.Join(dir, receiptFile+".tmp")
	if err := os.WriteFile(tmp, append(raw, '\n'), 0o644); err != nil {
		return r, err
	}
	return r, os.Rename(tmp, filepath.Join(dir, receiptFile))
}

// run runs a command, tells of its lines, and turns its failure into what to do.
func (in Install) run(ctx context.Context, args []string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // Python or uv, as found
	var said lines
	said.tell = in.Progress
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	said.flush()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return in.explain(said.all.String(), err)
}
