package lifecycle

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ErrLocked is what Acquire returns (wrapped) while another process works on
// the project.
var ErrLocked = errors.New("another dlm works on this project")

// Lock is the right to change a project: one process has it at a time. Reading
// needs none.
type Lock struct{ f *os.File }

// holder is what the lock file says of who holds it.
type holder struct {
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
}

// Acquire takes the project's lock without waiting. state is the project's .dlm
// folder, command what this process does ("dlm run"). The system lets the lock
// go when its process dies, however it dies, so a lock is never stale.
func Acquire(state, command string) (*Lock, error) {
	if err := os.MkdirAll(state, 0o755); err != nil {
		return nil, fmt.Errorf("project lock: %w", err)
	}
	path := filepath.Join(state, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("project lock: %w", err)
	}
	taken, err := tryLock(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("project lock %s: %w", path, err)
	}
	if !taken {
		who := readHolder(path)
		f.Close()
		return nil, fmt.Errorf("%w%s: wait until it is done, or stop it with dlm runs stop", ErrLocked, who)
	}
	// What is written here is for people; the lock itself is the system's.
	b, _ := json.Marshal(holder{os.Getpid(), command, time.Now().UTC().Truncate(time.Second)})
	if err := errors.Join(f.Truncate(0), writeAt(f, append(b, '\n'))); err != nil {
		f.Close()
		return nil, fmt.Errorf("project lock %s: %w", path, err)
	}
	return &Lock{f}, nil
}

func writeAt(f *os.File, b []byte) error {
	_, err := f.WriteAt(b, 0)
	return err
}

// readHolder says who holds the lock, as far as the file tells.
func readHolder(path string) string {
	b, err := os.ReadFile(path)
	var h holder
	if err != nil || json.Unmarshal(b, &h) != nil || h.PID == 0 {
		return ""
	}
	var s []string
	s = append(s, fmt.Sprintf("process %d", h.PID))
	if h.Command != "" {
		s = append(s, h.Command)
	}
	return fmt.Sprintf(" (%s, since %s)", strings.Join(s, ", "), h.Since.Local().Format("15:04:05"))
}

// Release lets the lock go.
func (l *Lock) Release() error {
	if l == nil || l.f == nil {
		return nil
	}
	err := errors.Join(l.f.Truncate(0), l.f.Close())
	l.f = nil
	return err
}
