package native

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"dlm"
	"dlm/engine/lora"
	"dlm/engine/model"
)

// shelf holds the adapters that are in memory: those in use, the pinned ones, and
// of the rest the most recently used that the budget has room for. Adapters are
// read and checked outside of the engine's steps.
type shelf struct {
	mu     sync.Mutex
	budget int64            // bytes of adapters that nobody uses and no pin holds, together with the others
	held   map[string]*held // by absolute path
	loads  uint64
	drops  uint64
	load   func(dir string) (*lora.Served, error)
}

// held is an adapter in memory, or on its way there.
type held struct {
	path   string
	stamp  [3]fileStamp  // of the folder's files when they were read
	ready  chan struct{} // closed when a, key and err are there
	a      *lora.Served
	key    string // hash of its weights and settings: what cached prefixes are known by
	err    error
	bytes  int64
	uses   int
	pinned bool
	gone   bool // asked to leave: dropped when its last use ends
	used   time.Time
}

// fileStamp tells a file that was written anew.
type fileStamp struct {
	size int64
	time time.Time
}

func stampOf(dir string) (s [3]fileStamp) {
	for i, f := range []string{lora.ConfigFile, lora.WeightsFile, lora.IdentityFile} {
		if info, err := os.Stat(filepath.Join(dir, f)); err == nil {
			s[i] = fileStamp{info.Size(), info.ModTime()}
		}
	}
	return s
}

// use returns the adapter in dir, to be given back with release. A folder is read
// once, and again when its files have changed or it had to make room; several who
// ask at once wait for one reading.
func (s *shelf) use(ctx context.Context, dir string) (*held, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	stamp := stampOf(path)
	s.mu.Lock()
	h := s.held[path]
	if h != nil && h.stamp != stamp {
		s.forget(h) // those who use it keep it
		h = nil
	}
	if h == nil {
		h = &held{path: path, stamp: stamp, ready: make(chan struct{})}
		s.held[path] = h
		go s.read(h)
	}
	h.uses++
	s.mu.Unlock()
	select {
	case <-h.ready:
	case <-ctx.Done():
		s.release(h)
		return nil, ctx.Err()
	}
	if h.err != nil {
		s.release(h)
		return nil, h.err
	}
	return h, nil
}

// read fills h, and makes room for it.
func (s *shelf) read(h *held) {
	a, err := s.load(h.path)
	key := ""
	if err == nil {
		key, err = contentKey(h.path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h.a, h.key, h.err = a, key, err
	if err != nil {
		s.forget(h)
	} else {
		h.bytes = a.Bytes()
		s.loads++
		s.trim()
	}
	close(h.ready)
}

// contentKey hashes what decides an adapter's keys and values.
func contentKey(dir string) (string, error) {
	sum := sha256.New()
	for _, name := range []string{lora.ConfigFile, lora.WeightsFile} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		_, err = io.Copy(sum, f)
		f.Close()
		if err != nil {
			return "", err
		}
		sum.Write([]byte{0})
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// release gives back what use gave.
func (s *shelf) release(h *held) {
	if h == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h.uses--
	h.used = time.Now()
	if h.gone && h.uses == 0 {
		s.forget(h)
		s.drops++
		return
	}
	s.trim()
}

// forget takes h off the shelf. Callers hold s.mu.
func (s *shelf) forget(h *held) {
	if s.held[h.path] == h {
		delete(s.held, h.path)
	}
}

// trim lets the least recently used go until the budget is kept, or only those
// are left that are in use or pinned. Callers hold s.mu.
func (s *shelf) trim() {
	total, idle := s.weigh()
	slices.SortFunc(idle, func(a, b *held) int { return a.used.Compare(b.used) })
	for _, h := range idle {
		if total <= s.budget {
			return
		}
		s.forget(h)
		s.drops++
		total -= h.bytes
	}
}

// weigh returns the bytes of all adapters, and those that may go.
func (s *shelf) weigh() (total int64, idle []*held) {
	for _, h := range s.held {
		total += h.bytes
		if h.uses == 0 && !h.pinned && h.a != nil {
			idle = append(idle, h)
		}
	}
	return total, idle
}

// LoadAdapter checks the adapter in dir and brings it in, without holding up what
// is running. See dlm.AdapterHost.
func (n *Native) LoadAdapter(ctx context.Context, dir string, pin bool) error {
	h, err := n.shelf.use(ctx, dir)
	if err != nil {
		return err
	}
	n.shelf.mu.Lock()
	h.pinned, h.gone = pin, false
	n.shelf.mu.Unlock()
	n.shelf.release(h)
	return nil
}

// UnloadAdapter lets the adapter in dir go as soon as no request uses it. One that
// is not in memory is no error.
func (n *Native) UnloadAdapter(_ context.Context, dir string) error {
	path, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	s := n.shelf
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.held[path]
	if h == nil {
		return nil
	}
	h.pinned, h.gone = false, true
	if h.uses == 0 {
		s.forget(h)
		s.drops++
	}
	return nil
}

// Adapters lists the adapters in memory, by folder.
func (n *Native) Adapters() []dlm.HeldAdapter {
	s := n.shelf
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []dlm.HeldAdapter
	for _, h := range s.held {
		if h.a != nil {
			out = append(out, dlm.HeldAdapter{Dir: h.path, Bytes: h.bytes, Pinned: h.pinned, InUse: h.uses, Used: h.used})
		}
	}
	slices.SortFunc(out, func(a, b dlm.HeldAdapter) int { return strings.Compare(a.Dir, b.Dir) })
	return out
}

// readServed reads and checks the adapter in dir as a request for it needs it.
//
// It fails closed (engine law 8): every tensor must bind, the folder must name
// this base, tokenizer and template, and a probe prompt must move. The probe is
// scored like any request, in a batch with what is running.
func (n *Native) readServed(dir string) (*lora.Served, error) {
	a, err := lora.LoadBeside(dir, n.m, n.id, n.side)
	if err != nil {
		if _, stat := os.Stat(dir); errors.Is(stat, fs.ErrNotExist) {
			return nil, &dlm.Fault{Kind: dlm.FaultUnknown, Param: "model", Err: err}
		}
		return nil, err
	}
	s := a.Served()
	moved, err := n.movesProbe(s, a.Zero())
	if err == nil && !moved {
		// No log-probability of the probe differs. The logits of the whole vocabulary
		// have the last word: this holds up a step, and next to no adapter needs it.
		n.mu.Lock()
		_, err = n.probe(a)
		n.mu.Unlock()
	}
	if err != nil {
		return nil, fmt.Errorf("adapter %s refused: %w", dir, err)
	}
	return s, nil
}

// movesProbe says whether the adapter gives the probe other log-probabilities than
// the base; zero ones need not.
func (n *Native) movesProbe(a model.Adapter, zero bool) (bool, error) {
	ids := n.probeIDs()
	with, err := n.scoreIDs(ids, a)
	if err != nil {
		return false, err
	}
	if zero {
		return true, nil
	}
	base, err := n.scoreIDs(ids, nil)
	if err != nil {
		return false, err
	}
	return !slices.Equal(base, with), nil
}
