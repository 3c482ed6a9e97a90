package main

import (
	"cmp"
	"fmt"
	"path"
	"path/filepath"

	"dlm/driver/native"
	"dlm/driver/trl"
	"dlm/lifecycle"
)

// boxFolder is where bases, jobs and the trainer's environment are kept on a
// machine that is reached over ssh, unless trl.dir names another folder.
const boxFolder = "~/.dlm-trl"

// boxPython is the interpreter of the environment that "dlm trainer install trl
// --host" makes over there.
func boxPython(s lifecycle.TRLSpec) string {
	return cmp.Or(s.Python, path.Join(cmp.Or(s.Dir, boxFolder), "env", "bin", "python"))
}

// trlPlace fills in where trainer: trl runs: the place, its interpreter and device.
func (l *pipeline) trlPlace(o *trl.Options) error {
	s := l.p.TRL
	o.Processes, o.Launcher = s.Processes, s.Launcher
	note := func(text string) { l.a.notef("%s", text) }
	switch s.Place() {
	case lifecycle.WhereSSH:
		box, err := trl.NewSSH(sshOptions(l.p, note))
		if err != nil {
			return err
		}
		l.a.onClose(box.Close)
		o.Place, o.Python = box, boxPython(s)
		if o.Device, err = box.Device(l.a.ctx); err != nil {
			note("what memory it has is not known: " + err.Error())
		}
	case lifecycle.WhereRay:
		gpus := s.GPUs
		if gpus < 0 {
			gpus = max(1, s.Processes)
		}
		cluster, err := trl.NewRay(trl.RayOptions{Address: s.Address, Dir: s.Dir, GPUs: float64(gpus), Note: note})
		if err != nil {
			return err
		}
		python, err := trainerPython(l.p)
		if err != nil {
			return err
		}
		o.Place, o.Python = cluster, python.Path
	default:
		python, err := trainerPython(l.p)
		if err != nil {
			return err
		}
		m, err := native.Inspection(l.a.flags.Threads)
		if err != nil {
			return err
		}
		o.Place, o.Python, o.Threads = trl.NewLocal(), python.Path, l.a.flags.Threads
		o.Device = trl.LocalDevice(l.a.ctx, m.MemoryTotal)
	}
	return nil
}

// sshOptions are the project's settings of the machine to train on.
func sshOptions(p *lifecycle.Project, note func(string)) trl.SSHOptions {
	s := p.TRL
	return trl.SSHOptions{Host: s.Host, Port: s.Port, Identity: p.Path(s.Identity), Config: p.Path(s.SSHConfig), Dir: cmp.Or(s.Dir, boxFolder), Note: note}
}

// exportModal writes the job as a folder for "modal run".
func (l *pipeline) exportModal(dir string) error {
	if !l.trainsAfar() {
		return fmt.Errorf("--export-modal needs trainer: trl, and dlm.yaml says %s: add --set trainer=trl", l.p.Trainer)
	}
	o, err := l.trlOptions()
	if err != nil {
		return err
	}
	o.Place, o.Python = trl.NewLocal(), "python" // Modal's; the file starts it
	t, err := trl.New(o)
	if err != nil {
		return err
	}
	codec, err := l.codec()
	if err != nil {
		return err
	}
	plan, err := t.ExportModal(l.a.ctx, l.trainJob("", codec.Context()), dir)
	if err != nil {
		return err
	}
	l.a.finish(plan, func() {
		l.a.printPlan(plan)
		l.a.printf("wrote %s\nnext: cd %s && modal run %s   (pip install modal && modal setup, once; Modal bills your account), then dlm adapters import %s\n",
			dir, dir, trl.ModalFile, filepath.Join(dir, trl.OutDir))
	})
	return nil
}
