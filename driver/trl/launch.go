package trl

import (
	"fmt"
	"strconv"
)

// Launchers are the ways to start several processes, each on a GPU of its own.
var Launchers = []string{"torchrun", "accelerate"}

// launch is the command before the program: one process, or a launcher that starts
// several on one machine and ends them together. Each holds the whole base and
// takes its share of a step's rows; the first tells what happens.
func launch(python, launcher string, processes int, gpu bool) ([]string, error) {
	n := strconv.Itoa(processes)
	switch {
	case processes <= 1 && launcher == "":
		return []string{python, "-u"}, nil
	case processes < 1:
		return nil, fmt.Errorf("trl.processes is %d; expected 1 or more, one for each GPU", processes)
	case launcher == "" || launcher == "torchrun":
		// --standalone: a meeting point of its own, so that two jobs of a machine do not meet.
		return []string{python, "-u", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", n}, nil
	case launcher == "accelerate":
		cmd := []string{python, "-u", "-m", "accelerate.commands.launch", "--num_machines", "1", "--num_processes", n, "--mixed_precision", "no", "--dynamo_backend", "no"}
		if gpu && processes > 1 {
			cmd = append(cmd, "--multi_gpu")
		}
		return cmd, nil
	}
	return nil, fmt.Errorf("trl.launcher is %q; expected torchrun or accelerate", launcher)
}
