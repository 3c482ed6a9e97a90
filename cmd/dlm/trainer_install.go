package main

import (
	"fmt"
	"os"

	"dlm/driver/trl"
	"dlm/lifecycle"
)

// trainerCmd looks after trainers outside of this program.
type trainerCmd struct {
	Install trainerInstallCmd `cmd:"" help:"Make the Python environment that trainer: trl runs in."`
}

// trainerInstallCmd makes an environment.
type trainerInstallCmd struct {
	Trainer      string `arg:"" enum:"trl" help:"trl: TRL and PEFT, with torch and bitsandbytes."`
	Dir          string `type:"path" placeholder:"DIR" help:"Folder of the environment (default: in dlm's cache folder)."`
	Wheels       string `type:"path" placeholder:"FOLDER" help:"Install from this folder of wheels; nothing is fetched."`
	CUDA         string `name:"cuda" placeholder:"NAME" help:"torch for this CUDA, from PyTorch's own index: cu128, cpu (default: what the package index has)."`
	Python       string `placeholder:"PYTHON" help:"Interpreter to make it from (default: the newest one that will do; uv brings its own)."`
	Again        bool   `help:"Make it anew, also where a whole one is."`
	Host         string `placeholder:"HOST" help:"Make it on this machine, over ssh: user@host, or \"project\" for the one that dlm.yaml trains on."`
	Requirements bool   `help:"Only print the pinned versions, as a requirements.txt for pip download."`
}

func (c *trainerInstallCmd) Run(a *app) error {
	if c.Requirements {
		a.finish(map[string]any{"requirements": trl.Pins()}, func() { a.printf("%s", trl.Requirements()) })
		return nil
	}
	if c.Host != "" {
		return c.there(a)
	}
	if c.Wheels != "" {
		if info, err := os.Stat(c.Wheels); err != nil || !info.IsDir() {
			return usageError("--wheels: %s is no folder; expected one that holds the .whl files of dlm trainer install trl --requirements", c.Wheels)
		}
	}
	root, err := cacheFolder()
	if err != nil {
		return err
	}
	p, r, err := trl.Install{
		Root: trainersFolder(root), Dir: c.Dir, Wheels: c.Wheels, CUDA: c.CUDA, Python: c.Python, Again: c.Again,
		Progress: func(line string) { a.notef("%s", line) },
	}.Run(a.ctx)
	if err != nil {
		return fmt.Errorf("dlm trainer install trl: %w", err)
	}
	a.finish(map[string]any{"python": p.Path, "made": r.Made, "with": r.With, "versions": r.Versions}, func() {
		a.printf("%s: torch %s, transformers %s, peft %s, trl %s\nnext: dlm doctor looks at GPU and driver; trainer: trl in dlm.yaml uses it\n",
			p.Path, r.Versions["torch"], r.Versions["transformers"], r.Versions["peft"], r.Versions["trl"])
	})
	return nil
}

// there makes the environment on another machine.
func (c *trainerInstallCmd) there(a *app) error {
	if c.Dir != "" || c.Wheels != "" || c.Python != "" {
		return usageError("--host takes no --dir, --wheels or --python: the folder there is trl.dir of dlm.yaml, else %s", boxFolder)
	}
	note := func(s string) { a.notef("%s", s) }
	o := trl.SSHOptions{Host: c.Host, Dir: boxFolder, Note: note}
	p, err := a.project(nil)
	switch {
	case err == nil && p.TRL.Place() == lifecycle.WhereSSH && (c.Host == "project" || c.Host == p.TRL.Host):
		o = sshOptions(p, note)
	case c.Host == "project" && err != nil:
		return err
	case c.Host == "project":
		return fmt.Errorf("--host project: %s does not train over ssh; set trl: {where: ssh, host: user@box}", p.File)
	}
	box, err := trl.NewSSH(o)
	if err != nil {
		return err
	}
	defer box.Close()
	python, err := box.Install(a.ctx, c.CUDA, c.Again, note)
	if err != nil {
		return fmt.Errorf("dlm trainer install trl: %w", err)
	}
	a.finish(map[string]any{"python": python, "host": o.Host, "versions": trl.Pins()}, func() {
		a.printf("%s on %s\nnext: trl: {where: ssh, host: %s} in dlm.yaml, then dlm doctor\n", python, o.Host, o.Host)
	})
	return nil
}
