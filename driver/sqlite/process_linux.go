package sqlite

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// whereabouts names the machine, its boot and the pid namespace: the processes
// among which a pid means something.
func whereabouts() (machine, boot, namespace string) {
	machine, _ = os.Hostname()
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	namespace, _ = os.Readlink("/proc/self/ns/pid")
	return machine, strings.TrimSpace(string(id)), namespace
}

// processStart returns when pid started, in clock ticks since boot; it tells a
// process from a later one that got the same pid. ok is false when no such
// process lives (a zombie does not).
func processStart(pid int) (start string, ok bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", false
	}
	// The second field is the program's name in parentheses and may hold spaces.
	i := bytes.LastIndexByte(stat, ')')
	f := strings.Fields(string(stat[i+1:]))
	if len(f) < 20 || f[0] == "Z" || f[0] == "X" {
		return "", false
	}
	return f[19], true
}
