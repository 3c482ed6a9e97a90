package lifecycle

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Where trainer: trl runs.
const (
	WhereLocal = "local" // this machine
	WhereSSH   = "ssh"   // another machine, over ssh
	WhereRay   = "ray"   // a job of a Ray cluster
)

// IDsOurs is the value of trl.ids with which TRL's own ids are not looked at.
const IDsOurs = "ours"

// Place is where trainer: trl runs, with its default.
func (t TRLSpec) Place() string {
	if t.Where == "" {
		return WhereLocal
	}
	return t.Where
}

// validate checks what needs no connection. Fields of another place than the one
// that is named are mistakes: they would be without effect.
func (t TRLSpec) validate(v *validator) {
	v.oneOf("trl.where", t.Place(), WhereLocal, WhereSSH, WhereRay)
	only := func(field string, set bool, places ...string) {
		v.check(!set || slices.Contains(places, t.Place()), "trl."+field, "has no effect with where: "+t.Place(), "where: "+strings.Join(places, " or "), "")
	}
	only("host", t.Host != "", WhereSSH)
	only("port", t.Port != 0, WhereSSH)
	only("identity", t.Identity != "", WhereSSH)
	only("ssh_config", t.SSHConfig != "", WhereSSH)
	only("address", t.Address != "", WhereRay)
	only("gpus", t.GPUs >= 0, WhereRay)
	only("dir", t.Dir != "", WhereSSH, WhereRay)
	v.check(t.Place() != WhereSSH || t.Host != "" && !strings.HasPrefix(t.Host, "-"), "trl.host", fmt.Sprintf("is %q", t.Host), "the machine to train on, such as user@host", "")
	v.check(t.Place() != WhereRay || t.Dir == "" || filepath.IsAbs(t.Dir), "trl.dir", fmt.Sprintf("is %q", t.Dir), "the whole path of a folder that this machine and the cluster see", "")
	v.check(t.Port >= 0 && t.Port < 1<<16, "trl.port", fmt.Sprintf("is %d", t.Port), "a port, or 0 for ssh's own", "")
	v.check(t.GPUs >= -1, "trl.gpus", fmt.Sprintf("is %d", t.GPUs), "0 or more; left out: one for each process", "")
	v.check(t.Processes >= 0, "trl.processes", fmt.Sprintf("is %d", t.Processes), "0 or more, one for each GPU", "")
	if t.IDs != "" {
		v.oneOf("trl.ids", t.IDs, "check", IDsOurs)
	}
	if t.Launcher != "" {
		v.oneOf("trl.launcher", t.Launcher, "torchrun", "accelerate")
	}
}
