//go:build unix

package trl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Files that the local place keeps in a bundle.
const (
	childLock = "child.lock" // locked by the program as long as it lives
	pidFile   = "pid"        // child
)

// chunk is the most that Poll reads at once.
const chunk = 4 << 20

// tail is how much of the log LastWords returns.
const tail = 16 << 10

// child is pid in a bundle: whom Kill ends.
type child struct {
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
}

// Local runs the program on this machine. The program inherits a lock on
// child.lock, which the system lets go when it dies, however it dies; so whether
// it runs is never a guess by a process number that may be another's by now.
type Local struct {
	mu    sync.Mutex
	ended map[string]chan error // of the children of this process, by bundle
}

// NewLocal is this machine as a place.
func NewLocal() *Local { return &Local{ended: map[string]chan error{}} }

// Name is "this machine".
func (l *Local) Name() string { return "this machine" }

// Begin starts the program in a session of its own, so that neither Ctrl-C nor
// the end of a terminal reaches it.
func (l *Local) Begin(_ context.Context, b Bundle) (Begun, error) {
	lock, err := os.OpenFile(b.Path(childLock), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return Begun{}, err
	}
	defer lock.Close() // the child's copy keeps the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return Begun{Attached: true}, nil
		}
		return Begun{}, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if err := errors.Join(os.RemoveAll(b.Path(StopFile)), os.RemoveAll(b.Path(RewardsDir)), os.RemoveAll(b.Path(pidFile))); err != nil {
		return Begun{}, err
	}
	if err := os.Rename(b.Path(LogFile), b.Path(LogFile+".before")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Begun{}, err
	}
	log, err := os.Create(b.Path(LogFile))
	if err != nil {
		return Begun{}, err
	}
	defer log.Close()
	cmd := exec.Command(b.Start[0], append(b.Start[1:len(b.Start):len(b.Start)], b.Dir)...) //nolint:gosec // the user's own Python
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = b.Dir, log, log, []*os.File{lock}
	cmd.Env = append(os.Environ(), b.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return Begun{}, fmt.Errorf("starting the training program: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	l.mu.Lock()
	l.ended[b.Dir] = ended
	l.mu.Unlock()
	raw, err := json.Marshal(child{cmd.Process.Pid, time.Now().UTC()})
	if err != nil {
		return Begun{}, err
	}
	return Begun{}, l.Put(context.Background(), b, pidFile, raw)
}

// running says whether the program of the bundle lives.
func running(b Bundle) (bool, error) {
	f, err := os.Open(b.Path(childLock))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// Poll reads the bundle's events.
func (l *Local) Poll(_ context.Context, b Bundle, offset int64) ([]byte, bool, error) {
	alive, err := running(b)
	if err != nil {
		return nil, false, err
	}
	f, err := os.Open(b.Path(EventsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, alive, nil
	}
	if err != nil {
		return nil, alive, err
	}
	defer f.Close()
	out, err := io.ReadAll(io.NewSectionReader(f, offset, chunk))
	return out, alive, err
}

// Put writes a file of the bundle by renaming.
func (l *Local) Put(_ context.Context, b Bundle, name string, data []byte) error {
	path := b.Path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// Fetch has nothing to bring: the bundle is where the program works.
func (l *Local) Fetch(context.Context, Bundle) error { return nil }

// LastWords returns the end of the log.
func (l *Local) LastWords(_ context.Context, b Bundle) (text, ended string, err error) {
	f, err := os.Open(b.Path(LogFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", l.how(b), nil
	}
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", "", err
	}
	raw, err := io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-tail), tail))
	return string(raw), l.how(b), err
}

// how says how a child of this process ended; "" when it was another's.
func (l *Local) how(b Bundle) string {
	l.mu.Lock()
	ended := l.ended[b.Dir]
	l.mu.Unlock()
	if ended == nil {
		return ""
	}
	select {
	case err := <-ended:
		ended <- err // for who asks next
		if err == nil {
			return "exit status 0"
		}
		return err.Error()
	case <-time.After(time.Second): // the lock is gone a moment before the child is waited for
		return ""
	}
}

// Kill ends the program's whole session group.
func (l *Local) Kill(ctx context.Context, b Bundle) error {
	raw, err := os.ReadFile(b.Path(pidFile))
	if err != nil {
		return fmt.Errorf("which process trains in %s is not recorded: %w", b.Dir, err)
	}
	var c child
	if err := json.Unmarshal(raw, &c); err != nil || c.PID <= 1 {
		return fmt.Errorf("%s is damaged; end the process that trains in %s by hand", b.Path(pidFile), b.Dir)
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		alive, err := running(b)
		if err != nil || !alive {
			return err // a number alone is not killed: it may be another's by now
		}
		if err := syscall.Kill(-c.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("ending process %d: %w", c.PID, err)
		}
	}
	return fmt.Errorf("process %d does not end; end it by hand", c.PID)
}
