package sqlite

import "strings"

// processOf says which process pid is, so that a later one with the same pid is
// not taken for it: machine, boot, pid namespace and start time.
func processOf(pid int) string {
	machine, boot, namespace := whereabouts()
	start, _ := processStart(pid)
	return strings.Join([]string{machine, boot, namespace, start}, "|")
}

// processGone says whether the process recorded as pid and process has ended. A
// run of another machine or another container cannot be judged from here and is
// left as it is; whoever holds the project's lock knows better.
func processGone(pid int, process string) bool {
	f := strings.Split(process, "|")
	if len(f) != 4 {
		return false
	}
	machine, boot, namespace := whereabouts()
	if f[0] != machine {
		return false
	}
	if f[1] != boot {
		return true // the machine has been restarted since
	}
	if f[2] != namespace {
		return false
	}
	start, alive := processStart(pid)
	return !alive || start != f[3]
}
