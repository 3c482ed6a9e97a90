package vllm

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// claimFile says, in a working folder, which child runs there and for whom.
const claimFile = "vllm.json"

// running is its content. A process id alone may be another process's by now, so
// the time at which it started stands beside it.
type running struct {
	PID        int    `json:"pid"`
	Start      uint64 `json:"start"` // in the system's own count; 0 where it tells none
	Owner      int    `json:"owner"`
	OwnerStart uint64 `json:"owner_start"`
}

// claim makes sure that no other child runs on this folder: one whose dlm lives
// is not touched, one that was left behind is ended.
func claim(dir string, note func(string)) error {
	path := filepath.Join(dir, claimFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var r running
	if err == nil {
		err = json.Unmarshal(raw, &r)
	}
	if err != nil {
		return fmt.Errorf("%s: %w; remove it when no vLLM of this project runs", path, err)
	}
	if !isAlive(r.PID, r.Start) {
		return nil
	}
	if isAlive(r.Owner, r.OwnerStart) {
		return fmt.Errorf("a vLLM of this project runs already (process %d), for the dlm of process %d; wait until that is done, or start a vLLM of your own and name its address in vllm.url", r.PID, r.Owner)
	}
	note(fmt.Sprintf("ending the vLLM that a dlm left behind (process %d)", r.PID))
	killGroup(r.PID)
	return nil
}

// record writes the claim of a child that has just started.
func record(dir string, pid int) error {
	raw, err := json.Marshal(running{PID: pid, Start: startOf(pid), Owner: os.Getpid(), OwnerStart: startOf(os.Getpid())})
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, claimFile+".tmp")
	if err := os.WriteFile(tmp, raw, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(dir, claimFile))
}

// release takes the claim of a child back.
func release(dir string, pid int) {
	path := filepath.Join(dir, claimFile)
	raw, err := os.ReadFile(path)
	var r running
	if err == nil && json.Unmarshal(raw, &r) == nil && r.PID == pid {
		_ = os.Remove(path)
	}
}
