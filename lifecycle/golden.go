package lifecycle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dlm"
	"dlm/stage/curate"
	"dlm/stage/evals"
)

// GoldenSet is a golden set with its history: the items as JSONL in Path, and
// beside it NAME.history.json, which says who changed it when. Each entry of the
// history holds the hash of the items and of the entry before it, so that a
// change that was not recorded shows. A set without a history can be used, but
// not edited or locked before NewGolden has begun one.
type GoldenSet struct {
	Path     string
	Name     string
	Items    []dlm.Item
	Locked   bool
	Modified bool // edited by hand since the last entry; never true when locked
	History  []GoldenEntry

	raw []byte
}

// GoldenEntry is one version of a golden set.
type GoldenEntry struct {
	Version int        `json:"version"` // counted from 1
	At      time.Time  `json:"at"`
	Author  string     `json:"author"`
	Action  string     `json:"action"` // new, add, split, edit, lock
	Note    string     `json:"note,omitempty"`
	Items   int        `json:"items"`
	Digest  dlm.Digest `json:"digest"` // of the items file
	Prev    string     `json:"prev"`   // hash of the entry before, empty for the first
	Hash    string     `json:"hash"`   // of this entry without it
}

type goldenFile struct {
	Name    string        `json:"name"`
	Locked  bool          `json:"locked"`
	History []GoldenEntry `json:"history"`
}

// Errors of golden sets (wrapped).
var (
	ErrGoldenLocked  = errors.New("is locked")
	ErrGoldenChanged = errors.New("was changed without a record")
)

// historyPath is where the history of the set at path stands.
func historyPath(path string) string {
	return strings.TrimSuffix(path, filepath.Ext(path)) + ".history.json"
}

// Version is the number of the last entry, 0 without a history.
func (g *GoldenSet) Version() int { return len(g.History) }

// Digest is the hash of the items file as it is now.
func (g *GoldenSet) Digest() dlm.Digest { return digestOf(g.raw) }

func digestOf(b []byte) dlm.Digest {
	sum := sha256.Sum256(b)
	return dlm.Digest("sha256:" + hex.EncodeToString(sum[:]))
}

func (e GoldenEntry) hash() string {
	e.Hash = ""
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // plain strings and numbers always encode
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// OpenGolden reads a golden set and checks it against its history: every use of
// a locked set starts here.
func OpenGolden(path string) (*GoldenSet, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("golden set: %w", err)
	}
	g := &GoldenSet{Path: path, Name: strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), raw: raw}
	hist := historyPath(path)
	b, err := os.ReadFile(hist)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("golden set: %w", err)
	default:
		if err := g.readHistory(hist, b); err != nil {
			return nil, err
		}
	}
	if len(bytes.TrimSpace(raw)) > 0 {
		if g.Items, err = evals.ParseGolden(path, bytes.NewReader(raw)); err != nil {
			return nil, err
		}
	}
	return g, nil
}

func (g *GoldenSet) readHistory(hist string, b []byte) error {
	var f goldenFile
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return fmt.Errorf("%s: is not the history of a golden set (%w): restore it from version control", hist, err)
	}
	if len(f.History) == 0 {
		return fmt.Errorf("%s: holds no entries: restore it from version control", hist)
	}
	prev := ""
	for i, e := range f.History {
		if e.Version != i+1 || e.Prev != prev || e.Hash != e.hash() {
			return fmt.Errorf("%s: entry %d %w: restore the file from version control", hist, i+1, ErrGoldenChanged)
		}
		prev = e.Hash
	}
	last := f.History[len(f.History)-1]
	// The chain says whether it is locked; the field is for readers.
	if locked := last.Action == "lock"; locked != f.Locked {
		return fmt.Errorf("%s: locked says %v, but the last entry is %q; it %w: restore the file from version control", hist, f.Locked, last.Action, ErrGoldenChanged)
	}
	g.Name, g.Locked, g.History = f.Name, f.Locked, f.History
	if got := digestOf(g.raw); got != last.Digest {
		if g.Locked {
			return fmt.Errorf("golden set %s is locked (version %d, %s, %s) and %s %w: expected %s, found %s; restore the file, or make a new set from it with dlm golden new",
				g.Name, last.Version, last.Author, last.At.Format("2006-01-02"), g.Path, ErrGoldenChanged, last.Digest.Short(), got.Short())
		}
		g.Modified = true
	}
	return nil
}

// NewGolden begins the history of a golden set. Items that stand in the file
// already become its first version; without a file an empty one is made.
func NewGolden(path, name, author, note string) (*GoldenSet, error) {
	if _, err := os.Stat(historyPath(path)); err == nil {
		return nil, fmt.Errorf("golden set %s has a history already (%s)", path, historyPath(path))
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, fmt.Errorf("golden set: %w", err)
		}
		if err := writeAtomic(path, nil); err != nil {
			return nil, err
		}
	}
	g, err := OpenGolden(path)
	if err != nil {
		return nil, err
	}
	if name != "" {
		g.Name = name
	}
	return g, g.record("new", author, note)
}

// Add appends items. Items whose id or prompt is there already are refused.
func (g *GoldenSet) Add(items []dlm.Item, author, note string) error {
	return g.add("add", items, author, note)
}

// AddFile appends the items of another golden file.
func (g *GoldenSet) AddFile(path, author, note string) (int, error) {
	items, err := evals.ReadGolden(path)
	if err != nil {
		return 0, err
	}
	if note == "" {
		note = "from " + filepath.Base(path)
	}
	return len(items), g.Add(items, author, note)
}

func (g *GoldenSet) add(action string, items []dlm.Item, author, note string) error {
	if err := g.editable(author); err != nil {
		return err
	}
	ids, prompts := map[string]bool{}, map[string]string{}
	for _, it := range g.Items {
		ids[it.ID], prompts[curate.Normalise(curate.PromptText(it.Messages))] = true, it.ID
	}
	var b bytes.Buffer
	b.Write(g.raw)
	if n := len(g.raw); n > 0 && g.raw[n-1] != '\n' {
		b.WriteByte('\n')
	}
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, it := range items {
		p := curate.Normalise(curate.PromptText(it.Messages))
		if ids[it.ID] {
			return fmt.Errorf("golden set %s has an item %q already: give the new one another id", g.Name, it.ID)
		}
		if other, twice := prompts[p]; twice {
			return fmt.Errorf("golden set %s: item %q asks what item %q asks: leave one out", g.Name, it.ID, other)
		}
		ids[it.ID], prompts[p] = true, it.ID
		if err := e.Encode(it); err != nil {
			return err
		}
	}
	// What was written must be readable as a golden set before it replaces anything.
	all, err := evals.ParseGolden(g.Path, bytes.NewReader(b.Bytes()))
	if err != nil {
		return err
	}
	if err := writeAtomic(g.Path, b.Bytes()); err != nil {
		return err
	}
	g.raw, g.Items = b.Bytes(), all
	return g.record(action, author, note)
}

// editable says whether the set may be edited, and records an edit by hand
// first, so that the history tells the two apart.
func (g *GoldenSet) editable(author string) error {
	if g.Locked {
		last := g.History[len(g.History)-1]
		return fmt.Errorf("golden set %s %w (version %d, by %s on %s): it refuses edits; make a new set with dlm golden new, so that old reports stay comparable",
			g.Name, ErrGoldenLocked, last.Version, last.Author, last.At.Format("2006-01-02"))
	}
	if len(g.History) == 0 {
		return fmt.Errorf("golden set %s has no history: begin one with dlm golden new %s", g.Path, g.Path)
	}
	if g.Modified {
		return g.record("edit", author, "edited by hand")
	}
	return nil
}

// Lock ends the set's edits.
func (g *GoldenSet) Lock(author, note string) error {
	if err := g.editable(author); err != nil {
		return err
	}
	if len(g.Items) == 0 {
		return fmt.Errorf("golden set %s has no items: add some before locking it", g.Name)
	}
	g.Locked = true
	if err := g.record("lock", author, note); err != nil {
		g.Locked = false
		return err
	}
	return nil
}

// record appends an entry for the items as they are.
func (g *GoldenSet) record(action, author, note string) error {
	if strings.TrimSpace(author) == "" {
		return errors.New("golden set: a change needs an author: set DLM_AUTHOR or pass --author")
	}
	e := GoldenEntry{Version: len(g.History) + 1, At: time.Now().UTC().Truncate(time.Second), Author: author, Action: action, Note: note,
		Items: len(g.Items), Digest: g.Digest()}
	if n := len(g.History); n > 0 {
		e.Prev = g.History[n-1].Hash
	}
	e.Hash = e.hash()
	history := append(g.History[:len(g.History):len(g.History)], e)
	b, err := json.MarshalIndent(goldenFile{g.Name, action == "lock", history}, "", "  ")
	if err != nil {
		return err
	}
	if err := writeAtomic(historyPath(g.Path), append(b, '\n')); err != nil {
		return err
	}
	g.History, g.Modified = history, false
	return nil
}

// writeAtomic replaces a file so that it is there whole or as it was.
func writeAtomic(path string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(tmp.Name()) // fails once renamed, as it should
	_, err = tmp.Write(b)
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w; what was there before is unharmed", path, err)
	}
	return nil
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
