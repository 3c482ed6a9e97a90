//go:build unix

package trl

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fakePython is what the test binary does as an interpreter, in a mood.
func fakePython(how string, args []string) int {
	is := func(word string) bool { return strings.Contains(how, word) }
	switch {
	case len(args) >= 2 && args[0] == "-c" && strings.Contains(args[1], "version_info"):
		if is("old") {
			fmt.Println("3 8")
		} else {
			fmt.Println("3 12")
		}
		return 0
	case len(args) >= 2 && args[0] == "-c":
		if is("broken") {
			fmt.Fprintln(os.Stderr, "Traceback\nImportError: libc.so.9 is missing")
			return 1
		}
		pkgs := ""
		for name, version := range Pins() {
			if is("lacks-"+name) || is("stale-"+name) {
				continue
			}
			pkgs += fmt.Sprintf("%q: %q, ", name, version)
		}
		if is("stale-trl") {
			pkgs += `"trl": "0.1", `
		}
		errs := "{}"
		if is("badbnb") {
			errs = `{"bitsandbytes": "OSError: no libcuda"}`
		}
		fmt.Printf("a library greets\n{\"python\": \"3.12.1\", \"packages\": {%s}, \"errors\": %s, \"cuda\": false, \"cuda_built\": \"\", \"devices\": [], \"unsloth\": false}\n", strings.TrimSuffix(pkgs, ", "), errs)
		return 0
	case len(args) == 3 && args[1] == "venv":
		if is("novenv") {
			fmt.Println("The virtual environment was not created successfully because ensurepip is not available.")
			return 1
		}
		bin := filepath.Join(args[2], "bin")
		self, _ := os.Executable()
		err := errors.Join(os.MkdirAll(bin, 0o755), os.WriteFile(filepath.Join(args[2], "pyvenv.cfg"), nil, 0o644), os.Symlink(self, filepath.Join(bin, "python")))
		if err != nil {
			panic(err)
		}
		return 0
	case len(args) > 2 && args[1] == "pip":
		fmt.Println("Looking in indexes\nRequirement already satisfied: pip\nCollecting torch\n  with " + strings.Join(args[2:], " "))
		for word, said := range map[string]string{"full": "OSError: [Errno 28] No space left on device", "nowheel": "ERROR: No matching distribution found for peft==0.21.2",
			"offline": "WARNING: Retrying: Temporary failure in name resolution"} {
			if is(word) {
				fmt.Println(said)
				return 1
			}
		}
		if is("slow") {
			time.Sleep(time.Minute)
		}
		return 0
	}
	return 2
}

// installer is an Install whose Python is the test binary.
func installer(t *testing.T, how string) (Install, *strings.Builder) {
	t.Helper()
	t.Setenv(pythonVar, how)
	t.Setenv("PATH", t.TempDir()) // no uv, no nvidia-smi
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	return Install{Root: filepath.Join(t.TempDir(), "trainers"), Python: self, Progress: func(s string) { said.WriteString(s + "\n") }}, &said
}

func TestInstall(t *testing.T) {
	in, said := installer(t, "fine")
	if _, err := FindPython("", "", in.Root); err == nil || !strings.Contains(err.Error(), "dlm trainer install trl") {
		t.Errorf("before: %v", err)
	}
	p, r, err := in.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.With != "pip" || r.Versions["trl"] != Pins()["trl"] || !strings.Contains(said.String(), "Collecting torch") || strings.Contains(said.String(), "already satisfied") {
		t.Errorf("receipt %+v, said %s", r, said)
	}
	if found, err := FindPython("", "", in.Root); err != nil || found.Path != p.Path {
		t.Errorf("found %+v, %v; expected %s", found, err, p.Path)
	}
	// A whole environment is left alone; a half-made one is made anew.
	said.Reset()
	if _, _, err := in.Run(t.Context()); err != nil || said.Len() > 0 {
		t.Errorf("again: %v, %s", err, said)
	}
	dir := EnvironmentDir(in.Root)
	if err := os.Remove(filepath.Join(dir, receiptFile)); err != nil {
		t.Fatal(err)
	}
	if _, ok := Installed(in.Root); ok {
		t.Error("a half-made environment is taken for whole")
	}
	if _, _, err := in.Run(t.Context()); err != nil || !strings.Contains(said.String(), "removing what an earlier attempt left") {
		t.Errorf("half made: %v, %s", err, said)
	}
	// Elsewhere.
	in.Dir = filepath.Join(t.TempDir(), "env")
	p, _, err = in.Run(t.Context())
	if err != nil || p.Path != filepath.Join(in.Dir, "bin", "python") {
		t.Errorf("%s, %v", p.Path, err)
	}
	if found, err := FindPython("", "", in.Root); err != nil || found.Path != p.Path {
		t.Errorf("found %+v, %v; expected %s", found, err, p.Path)
	}
}

func TestInstallArguments(t *testing.T) {
	in, said := installer(t, "fine")
	in.Wheels = "wheels"
	if _, _, err := in.Run(t.Context()); err != nil || !strings.Contains(said.String(), "--no-index --find-links /") {
		t.Errorf("%v, %s", err, said)
	}
	in, said = installer(t, "fine")
	in.CUDA = "cu128"
	if _, r, err := in.Run(t.Context()); err != nil || r.CUDA != "cu128" || !strings.Contains(said.String(), "whl/cu128") {
		t.Errorf("%v, %+v, %s", err, r, said)
	}
	raw, err := os.ReadFile(filepath.Join(EnvironmentDir(in.Root), "requirements.txt"))
	if err != nil || !strings.Contains(string(raw), "torch=="+Pins()["torch"]+"+cu128\n") {
		t.Errorf("%s, %v", raw, err)
	}
	uv := tool{"uv", "/bin/uv", "3.12"}
	if got := strings.Join(uv.install(Install{CUDA: "cpu"}, "/d", "r"), " "); !strings.Contains(got, "--torch-backend cpu") || strings.Contains(got, "index") {
		t.Error(got)
	}
}

func TestInstallFails(t *testing.T) {
	for how, c := range map[string]struct {
		words  []string
		change func(*Install)
	}{
		"old":            {words: []string{"Python 3.10 to 3.14", "3.8", "--python"}},
		"novenv":         {words: []string{"python3-venv", "ensurepip"}},
		"full":           {words: []string{"disk is full", "--dir"}},
		"nowheel":        {words: []string{"peft==0.21.2"}},
		"nowheel here":   {words: []string{"lacks a wheel", "peft==0.21.2", "pip download"}, change: func(in *Install) { in.Wheels = "wheels" }},
		"offline":        {words: []string{"cannot be reached", "--wheels"}},
		"broken":         {words: []string{"does not work", "libc.so.9"}},
		"lacks-trl":      {words: []string{"does not work", "trl is not installed"}},
		"fine":           {words: []string{"--cuda", "cu128"}, change: func(in *Install) { in.CUDA = "12.8" }},
		"fine, no place": {words: []string{"something else"}, change: func(in *Install) { in.Dir = "testdata/base" }},
	} {
		in, _ := installer(t, how)
		if c.change != nil {
			c.change(&in)
		}
		_, _, err := in.Run(t.Context())
		for _, w := range c.words {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v does not say %q", how, err, w)
			}
		}
		if _, ok := Installed(in.Root); ok {
			t.Errorf("%s: taken for whole", how)
		}
	}
	// Cut off: nothing is left.
	in, _ := installer(t, "slow")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, _, err := in.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if exists(EnvironmentDir(in.Root)) {
		t.Error("a half-made environment is left behind")
	}
}

func TestFindPython(t *testing.T) {
	in, _ := installer(t, "fine")
	for _, c := range []struct{ configured, variable, from string }{{in.Python, "", "trl.python"}, {"", in.Python, "DLM_TRL_PYTHON"}, {in.Python, "/nowhere", "trl.python"}} {
		if p, err := FindPython(c.configured, c.variable, in.Root); err != nil || p.Path != in.Python || !strings.Contains(p.From, c.from) {
			t.Errorf("%+v: %+v, %v", c, p, err)
		}
	}
	if _, err := FindPython("/nowhere/python", "", in.Root); err == nil || !strings.Contains(err.Error(), "/nowhere/python") {
		t.Error(err)
	}
}

func TestExamine(t *testing.T) {
	for how, c := range map[string]struct {
		needs Needs
		ready bool
		words []string
	}{
		"fine":               {Needs{}, true, []string{"no GPU"}},
		"badbnb":             {Needs{}, true, nil},
		"badbnb nf4":         {Needs{NF4: true}, false, []string{"no libcuda", "dlm trainer install trl"}},
		"lacks-bitsandbytes": {Needs{NF4: true}, false, []string{"bitsandbytes is not installed"}},
		"lacks-peft":         {Needs{}, false, []string{"peft is not installed"}},
		"stale-trl":          {Needs{}, true, []string{"trl is 0.1", Pins()["trl"]}},
		"fine, unsloth":      {Needs{Unsloth: true}, false, []string{"unsloth is not installed", "no GPU"}},
		"broken":             {Needs{}, false, []string{"libc.so.9"}},
	} {
		in, _ := installer(t, how)
		e := Examine(t.Context(), Python{Path: in.Python}, c.needs)
		text := fmt.Sprint(e.Findings)
		if e.Ready() != c.ready {
			t.Errorf("%s: ready %v: %s", how, e.Ready(), text)
		}
		for _, w := range c.words {
			if !strings.Contains(text, w) {
				t.Errorf("%s: %s does not say %q", how, text, w)
			}
		}
	}
}

// The findings about GPUs, which this machine need not have.
func TestJudgeGPU(t *testing.T) {
	for _, c := range []struct {
		e     Environment
		word  string
		ready bool
	}{
		{Environment{Driver: "570.1", CUDABuilt: ""}, "built without CUDA", false},
		{Environment{Driver: "470.1", CUDABuilt: "12.8"}, "cannot use it", false},
		{Environment{Driver: "570.1", CUDABuilt: "12.8", CUDA: true}, "", true},
		{Environment{DiskFree: 1 << 30, CUDA: true}, "1.0 GiB of disk", true},
	} {
		c.e.Packages, c.e.Errors = Pins(), map[string]string{}
		c.e.judge(Needs{})
		if text := fmt.Sprint(c.e.Findings); c.e.Ready() != c.ready || !strings.Contains(text, c.word) {
			t.Errorf("%+v: %s", c.e, text)
		}
	}
}

func TestParseGPU(t *testing.T) {
	for text, want := range map[string]Device{
		"NVIDIA L4, 23034\nNVIDIA L4, 23034\n": {Name: "cuda: NVIDIA L4", Bytes: 23034 << 20}, "": {}, "No devices were found": {}, "x, -1": {}, "a, 99999999999999999": {},
	} {
		if got, ok := parseGPU(text); got != want || ok != (want != Device{}) {
			t.Errorf("%q: %+v, %v", text, got, ok)
		}
	}
}

func FuzzEnvironment(f *testing.F) {
	f.Add([]byte(`{"python": "3", "packages": {"trl": "1"}, "errors": null, "devices": [{"bytes": 1}], "findings": [{}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var e Environment
		if e.read(raw) == nil {
			e.judge(Needs{NF4: true, Unsloth: true})
			if e.Devices == nil || e.Errors == nil {
				t.Error("lists are nil")
			}
		}
	})
}
