package native

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"dlm/engine/lora"
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
	ratio  float64 // most bytes in memory that a byte of a weights file has taken; 0 = none was read yet
	load   func(dir string) (*lora.Served, error)
	line   []*waiter // for room, oldest first
	coming int64     // bytes of those whose turn it is and who have not come in yet
	passed int       // uses of adapters in memory since the first in line began to wait, or another left it
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
// ask at once wait for one reading. While those in use and the pinned ones take all of
// the budget, it waits for room; who holds an adapter already does not, so that no two
// wait for each other.
func (s *shelf) use(ctx context.Context, dir string, holds bool) (*held, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	stamp := stampOf(path)
	s.mu.Lock()
	size := s.expect(stamp[1].size)
	h := s.find(path, stamp)
	turn := int64(0)
	switch stays := h != nil && (h.uses > 0 || h.pinned); {
	case holds:
	case stays && (len(s.line) == 0 || s.passed < patience):
		s.passed++
	case stays || len(s.line) > 0 || !s.fits(size):
		s.mu.Unlock()
		if err := s.wait(ctx, size); err != nil {
			return nil, err
		}
		s.mu.Lock()
		h, turn = s.find(path, stamp), size
	}
	s.coming -= turn
	if h == nil {
		h = &held{path: path, stamp: stamp, ready: make(chan struct{}), bytes: size}
		s.held[path] = h
		go s.read(h)
	}
	h.uses++
	s.trim()
	s.call()
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

// find returns what is held of a folder as its files are now. Callers hold s.mu.
func (s *shelf) find(path string, stamp [3]fileStamp) *held {
	h := s.held[path]
	if h != nil && h.stamp != stamp {
		s.forget(h) // those who use it keep it
		return nil
	}
	return h
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
		if file := h.stamp[1].size; file > 0 {
			s.ratio = max(s.ratio, float64(h.bytes)/float64(file))
		}
		s.loads++
		s.trim()
	}
	s.call()
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
	defer s.call()
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
