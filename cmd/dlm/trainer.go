package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"dlm"
	"dlm/driver/native"
	"dlm/driver/trl"
	"dlm/lifecycle"
)

// trainsAfar says whether training runs outside of this process, by another
// trainer than the native engine.
func (l *pipeline) trainsAfar() bool { return l.p.Trainer == lifecycle.TrainerTRL }

// codec is what makes ids of text. It needs no weights: where another trainer
// trains, they are loaded when the adapter comes back, to check it.
func (l *pipeline) codec() (dlm.Codec, error) {
	if !l.trainsAfar() || l.engine != nil {
		return l.native()
	}
	if l.text == nil {
		t, err := native.OpenText(l.pulled.Path, l.p.Quantize)
		if err != nil {
			return nil, err
		}
		l.text = t
	}
	return l.text, nil
}

// trainer is the one that dlm.yaml names.
func (l *pipeline) trainer() (dlm.Trainer, error) {
	if !l.trainsAfar() {
		return l.native()
	}
	o, err := l.trlOptions()
	if err != nil {
		return nil, err
	}
	if err := l.trlPlace(&o); err != nil {
		return nil, err
	}
	return trl.New(o)
}

// trlOptions are those of TRL but for the place.
func (l *pipeline) trlOptions() (trl.Options, error) {
	codec, err := l.codec()
	if err != nil {
		return trl.Options{}, err
	}
	o := trl.Options{
		Encoder: codec, Order: native.Order, Quantize: l.p.Quantize, Unsloth: l.p.TRL.Unsloth, OwnIDs: l.p.TRL.IDs == lifecycle.IDsOurs,
		Base: l.hfBase, BaseDigest: l.base.ID, Pad: -1,
		Bind: func(dir, out string) error {
			n, err := l.native()
			if err != nil {
				return err
			}
			return n.ImportAdapter(dir, out)
		},
	}
	if p, ok := codec.(interface{ PadID() int32 }); ok {
		o.Pad = p.PadID()
	}
	if !l.p.TRL.Unsloth { // it makes its own adapter
		o.Init = l.firstAdapter
	}
	return o, nil
}

func (l *pipeline) trainerAndCodec() (dlm.Trainer, dlm.Codec, error) {
	t, err := l.trainer()
	if err != nil {
		return nil, nil, err
	}
	codec, err := l.codec()
	return t, codec, err
}

// firstAdapter writes the adapter that training starts from: the native engine's
// own, so that both trainers start from the same numbers. The engine is not kept:
// its memory is the program's while that trains.
func (l *pipeline) firstAdapter(r dlm.Recipe, dir string) error {
	had := l.engine != nil
	n, err := l.native()
	if err != nil {
		return err
	}
	if err := n.NewAdapter(r, dir); err != nil || had {
		return err
	}
	l.engine = nil
	return n.Close()
}

// hfBase is the base as a folder that Hugging Face's libraries load.
func (l *pipeline) hfBase(context.Context) (string, error) {
	if info, err := os.Stat(l.pulled.Path); err == nil && info.IsDir() {
		return filepath.Abs(l.pulled.Path)
	}
	n, err := l.native()
	if err != nil {
		return "", err
	}
	return l.a.hfFolder(n, l.p.Train.Precision)
}

// trainerPython is the interpreter that trainer: trl runs: the project's, the
// environment variable's, or that of dlm trainer install trl.
func trainerPython(p *lifecycle.Project) (trl.Python, error) {
	root, err := cacheFolder()
	if err != nil {
		return trl.Python{}, err
	}
	configured := ""
	if p != nil && p.TRL.Python != "" {
		if configured = p.TRL.Python; filepath.Base(configured) != configured {
			configured = p.Path(configured)
		}
	}
	found, err := trl.FindPython(configured, os.Getenv("DLM_TRL_PYTHON"), trainersFolder(root))
	if err != nil {
		return found, fmt.Errorf("trainer: trl: %w", err)
	}
	return found, nil
}

// trainersFolder is where environments of trainers are kept.
func trainersFolder(cache string) string { return filepath.Join(cache, "trainers") }
