package lifecycle

import (
	"strings"
	"testing"
)

func TestParseTRL(t *testing.T) {
	dir := projectDir(t)
	p, err := parseAt(t, dir, minimal+"trainer: trl\ntrl: {where: ssh, host: user@box, port: 2222, dir: /data/dlm, python: /opt/trl/bin/python, processes: 2, launcher: accelerate}\n")
	if err != nil {
		t.Fatal(err)
	}
	if s := p.TRL; s.Place() != WhereSSH || s.Host != "user@box" || s.Port != 2222 || s.GPUs != -1 || s.Processes != 2 {
		t.Errorf("%+v", s)
	}
	for src, says := range map[string]string{
		"trl: {where: cloud}":                           "local, ssh, ray",
		"trl: {where: ssh}":                             "the machine to train on",
		"trl: {where: ssh, host: \"-oProxyCommand=x\"}": "the machine to train on",
		"trl: {host: box}":                              "has no effect with where: local",
		"trl: {where: ray, host: box}":                  "where: ssh",
		"trl: {where: ssh, host: box, address: x}":      "where: ray",
		"trl: {where: ray, dir: jobs}":                  "whole path",
		"trl: {where: ray, gpus: -2}":                   "0 or more",
		"trl: {processes: -1}":                          "one for each GPU",
		"trl: {ids: theirs}":                            "check, ours",
		"trl: {launcher: deepspeed}":                    "torchrun, accelerate",
		"trl: {where: ssh, host: box, port: 70000}":     "a port",
	} {
		if _, err := parseAt(t, dir, minimal+"trainer: trl\n"+src+"\n"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want %q", src, err, says)
		}
	}
}
