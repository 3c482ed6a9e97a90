package main

import (
	"fmt"
	"os"
	"path/filepath"

	"dlm"
	"dlm/driver/native"
)

// baseFlags name a base, and an adapter on it, for commands that ask one model.
type baseFlags struct {
	Base      string `help:"Base model: a name (smollm2-135m-instruct), hf:owner/name, or a path (default: the project's)." placeholder:"REF"`
	Adapter   string `help:"Adapter: an alias (prod), a name, a digest, or a PEFT folder (default: the base alone)." placeholder:"REF"`
	Quantize  string `enum:",none,nf4" default:"" help:"Quantise a base of 16 or 32 bits as it is loaded: nf4 or none (default: with the project's base as the project says, else none)." placeholder:"TYPE"`
	Precision string `enum:"bf16,f32" default:"bf16" help:"Precision of multiply operands: bf16 or f32."`
}

// askFlags are baseFlags of commands that other engines can answer too.
type askFlags struct {
	baseFlags
	Engine string `enum:",native,vllm" default:"" help:"Who answers: native or vllm (default: with the project's base as the project says, else native)." placeholder:"ENGINE"`
}

// openBase pulls the base when it is not here yet, loads it and keeps it open
// for the command's life.
func (a *app) openBase(ref, precision string) (*native.Native, dlm.PulledModel, error) {
	return a.openQuantized(ref, precision, "")
}

// openQuantized is openBase for a base that is quantised as it is loaded ("" or
// none: it is not).
func (a *app) openQuantized(ref, precision, quantize string) (*native.Native, dlm.PulledModel, error) {
	pulled, err := a.pull(ref)
	if err != nil {
		return nil, pulled, err
	}
	n, err := native.OpenPulled(pulled, native.Options{Precision: precision, Quantize: quantize, Threads: a.flags.Threads, Code: version(), ProbePlan: true})
	if err != nil {
		return nil, pulled, err
	}
	a.onClose(n.Close)
	return n, pulled, nil
}

// baseParams are what the store keeps of a base.
func baseParams(p dlm.PulledModel, quantize string) map[string]string {
	ps := map[string]string{"path": p.Path, "source": p.Source}
	if native.Quantized(p.Digest, quantize) != p.Digest {
		ps["quantize"], ps["digest"] = quantize, string(p.Digest) // the file's; the artifact has another
	}
	return ps
}

// pull resolves a base reference to files on this machine.
func (a *app) pull(ref string) (dlm.PulledModel, error) {
	h, err := a.hub()
	if err != nil {
		return dlm.PulledModel{}, err
	}
	return h.Pull(a.ctx, ref, a.pullProgress())
}

// baseRef returns the flag's base, else the project's.
func (a *app) baseRef(flag string) (string, error) {
	ref, _, err := a.quantizedRef(flag, "")
	return ref, err
}

// quantizedRef is baseRef and how that base is to be quantised: as the flag says,
// else, where the base is the project's, as the project says.
func (a *app) quantizedRef(flag, quantize string) (ref, q string, err error) {
	if flag != "" {
		return flag, quantize, nil
	}
	p, err := a.project(nil)
	if err != nil {
		return "", "", fmt.Errorf("no --base given, and %w", err)
	}
	if quantize == "" {
		quantize = p.Quantize
	}
	return projectBase(p), quantize, nil
}

// adapterDir resolves an adapter reference to a PEFT folder; "" stays "".
func (a *app) adapterDir(ref string) (string, error) {
	if ref == "" || ref == "base" {
		return "", nil
	}
	if _, err := os.Stat(filepath.Join(ref, "adapter_config.json")); err == nil {
		return filepath.Abs(ref)
	}
	art, err := a.findAdapter(ref)
	if err != nil {
		return "", err
	}
	s, err := a.store()
	if err != nil {
		return "", err
	}
	return s.Materialise(a.ctx, art.ID)
}

// open is what commands that ask one model share: the engine and the adapter's folder.
func (b *baseFlags) open(a *app) (*native.Native, string, error) {
	ref, quantize, err := a.quantizedRef(b.Base, b.Quantize)
	if err != nil {
		return nil, "", err
	}
	dir, err := a.adapterDir(b.Adapter)
	if err != nil {
		return nil, "", err
	}
	n, _, err := a.openQuantized(ref, b.Precision, quantize)
	return n, dir, err
}
