package trl

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SSHOptions say which machine, and how it is reached. Keys, jump hosts and the
// check of the host's key are those of the user's ssh configuration.
type SSHOptions struct {
	Host     string // host, user@host, or a name of the ssh configuration
	Port     int    // 0 = ssh's own
	Identity string // file of a private key; empty = ssh's own
	Config   string // ssh configuration to use instead of the user's; empty = the user's
	Dir      string // folder there for bases and jobs; empty = .dlm-trl in the home folder
	Python   string // interpreter there that takes dlm's requests; empty = python3

	Patience time.Duration // how long a lost connection is tried again; 0 = 15 min
	Note     func(string)  // tells the user: connections lost and found, bases sent; may be nil

	noRsync bool // for tests
}

// SSH runs the program on another machine, over the system's ssh. A small program
// of ours there, which comes over the connection itself, starts the training
// detached and hands events over; when the connection is lost the training goes
// on, and a new one is made.
type SSH struct {
	o   SSHOptions
	box *box
}

var _ Place = (*SSH)(nil)

// NewSSH checks the options. It connects when it is first needed.
func NewSSH(o SSHOptions) (*SSH, error) {
	if o.Host == "" || strings.HasPrefix(o.Host, "-") {
		return nil, fmt.Errorf("trl.host is %q; expected the machine to train on, such as user@host", o.Host)
	}
	o.Dir, o.Python = cmp.Or(o.Dir, "~/.dlm-trl"), cmp.Or(o.Python, "python3")
	if o.Patience <= 0 {
		o.Patience = 15 * time.Minute
	}
	s := &SSH{o: o}
	command := append([]string{"ssh"}, s.options()...)
	command = append(command, o.Host, remoteQuote(o.Python)+" -u -c '"+bootstrap+"'")
	s.box = &box{name: o.Host, command: command, dir: o.Dir, patience: o.Patience, note: o.Note}
	return s, nil
}

// options are ssh's: nothing is asked at the terminal, and a dead connection is
// noticed within a minute.
func (s *SSH) options() []string {
	out := []string{"-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3"}
	if s.o.Config != "" {
		out = append(out, "-F", s.o.Config)
	}
	if s.o.Port > 0 {
		out = append(out, "-p", strconv.Itoa(s.o.Port))
	}
	if s.o.Identity != "" {
		out = append(out, "-i", s.o.Identity)
	}
	return out
}

// remoteQuote quotes a word for the other side's shell; ~/ keeps its meaning.
func remoteQuote(word string) string {
	head := ""
	if rest, ok := strings.CutPrefix(word, "~/"); ok {
		head, word = "~/", rest
	}
	return head + "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// Name is "ssh user@host".
func (s *SSH) Name() string { return "ssh " + s.o.Host }

// Close ends the connection; what runs over there goes on.
func (s *SSH) Close() error {
	s.box.close()
	return nil
}

// Device returns the other machine's GPU with the least memory, or its own memory.
func (s *SSH) Device(ctx context.Context) (Device, error) {
	a, err := s.box.ask(ctx, request{Do: "device", Dir: s.o.Dir})
	return Device{Name: a.Name, Bytes: a.Bytes, Count: a.GPUs}, err
}

// job is the folder of a bundle's job over there: another for each job, the same
// whenever the same job is begun again from the same folder.
func (s *SSH) job(b Bundle) string {
	return path.Join(s.o.Dir, "jobs", jobID(b))
}

// jobID names a job by where its bundle lies and what it is to do. How a step is
// cut into passes is left out, as it may change on the way.
func jobID(b Bundle) string {
	j := b.Job
	j.Base, j.Recipe.MicroBatch, j.Recipe.Checkpointing, j.Recipe.Packing = "", 0, "", false
	raw, err := json.Marshal(struct {
		Dir   string
		Job   Job
		Files any
	}{b.Dir, j, b.Manifest.Files})
	if err != nil {
		panic(err) // plain values
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}

// Begin sends what is missing, the base first, and starts the program; or finds
// that it runs.
func (s *SSH) Begin(ctx context.Context, b Bundle) (Begun, error) {
	job := s.job(b)
	a, err := s.box.ask(ctx, request{Do: "poll", Folder: job, Most: 1})
	if err != nil {
		return Begun{}, err
	}
	if a.Running {
		return Begun{Attached: true}, nil
	}
	base, err := s.sendBase(ctx, b)
	if err != nil {
		return Begun{}, fmt.Errorf("sending the base to %s: %w", s.o.Host, err)
	}
	if err := s.sendJob(ctx, b, job, base); err != nil {
		return Begun{}, fmt.Errorf("sending the job to %s: %w", s.o.Host, err)
	}
	a, err = s.box.ask(ctx, request{Do: "begin", Folder: job, Start: b.Start, Env: b.Env})
	if err != nil {
		return Begun{}, fmt.Errorf("starting the training program: %w", err)
	}
	s.record(b, job)
	return Begun{Attached: a.Attached}, nil
}

// record writes down where the job is, for people: losing that is no reason to fail.
func (s *SSH) record(b Bundle, job string) {
	_ = writeJSON(b.Path(PlaceFile), map[string]string{"where": s.Name(), "folder": job})
}

// sendJob brings the bundle over as far as its files are missing or others there.
func (s *SSH) sendJob(ctx context.Context, b Bundle, job, base string) error {
	names := append(slices.Sorted(maps.Keys(b.Manifest.Files)), programFiles...)
	a, err := s.box.ask(ctx, request{Do: "listing", Folder: job, Names: names, Hash: true})
	if err != nil {
		return err
	}
	for _, name := range names {
		sum, err := fileDigest(b.Path(name))
		if err != nil {
			return err
		}
		if a.Files[name].SHA256 == sum.Hex() {
			continue
		}
		if err := s.send(ctx, b.Path(name), job, name); err != nil {
			return err
		}
	}
	there := b.Job
	there.Base = base
	raw, err := json.MarshalIndent(there, "", " ")
	if err != nil {
		return err
	}
	return s.Put(ctx, b, JobFile, raw)
}

// Poll asks for the job's events.
func (s *SSH) Poll(ctx context.Context, b Bundle, offset int64) ([]byte, bool, error) {
	a, err := s.box.ask(ctx, request{Do: "poll", Folder: s.job(b), Offset: offset, Most: sendChunk})
	return a.data, a.Running, err
}

// Put writes a file of the job there.
func (s *SSH) Put(ctx context.Context, b Bundle, name string, data []byte) error {
	_, err := s.box.ask(ctx, request{Do: "put", Folder: s.job(b), Name: name, data: data})
	return err
}

// Fetch brings out/ back, whole or not at all, and the events and the log beside it.
func (s *SSH) Fetch(ctx context.Context, b Bundle) error {
	job := s.job(b)
	a, err := s.box.ask(ctx, request{Do: "listing", Folder: path.Join(job, OutDir), Hash: true})
	if err != nil {
		return err
	}
	tmp := b.Path(OutDir + ".tmp")
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	for name, f := range a.Files {
		if !filepath.IsLocal(name) {
			return fmt.Errorf("%s names a file %q of the adapter; expected a name inside of its folder", s.o.Host, name)
		}
		to := filepath.Join(tmp, filepath.FromSlash(name))
		if err := s.receive(ctx, path.Join(job, OutDir), name, to); err != nil {
			return err
		}
		if sum, err := fileDigest(to); err != nil || sum.Hex() != f.SHA256 {
			return errors.Join(err, fmt.Errorf("%s arrived damaged from %s", name, s.o.Host))
		}
	}
	for _, name := range []string{EventsFile, LogFile} {
		if err := s.receive(ctx, job, name, b.Path(name)); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(b.Path(OutDir)); err != nil {
		return err
	}
	return os.Rename(tmp, b.Path(OutDir))
}

// receive brings one file. One that is not there is left out.
func (s *SSH) receive(ctx context.Context, folder, name, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	for offset := int64(0); ; {
		a, err := s.box.ask(ctx, request{Do: "read", Folder: folder, Name: name, Offset: offset, Most: sendChunk})
		if err != nil {
			return err
		}
		if len(a.data) == 0 {
			return f.Close()
		}
		if _, err := f.Write(a.data); err != nil {
			return err
		}
		offset += int64(len(a.data))
	}
}

// LastWords asks for the end of the log, and keeps it on this machine too, where
// errors name it.
func (s *SSH) LastWords(ctx context.Context, b Bundle) (text, ended string, err error) {
	a, err := s.box.ask(ctx, request{Do: "words", Folder: s.job(b), Most: logTail})
	if err != nil {
		return "", "", err
	}
	return string(a.data), a.Ended, os.WriteFile(b.Path(LogFile), a.data, 0o644)
}

// Kill ends the program there.
func (s *SSH) Kill(ctx context.Context, b Bundle) error {
	_, err := s.box.ask(ctx, request{Do: "kill", Folder: s.job(b)})
	return err
}
