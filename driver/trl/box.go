package trl

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// boxProgram answers requests on another machine; see its own text for the protocol.
//
//go:embed program/dlm_box.py
var boxProgram []byte

// boxFormat is the version of the protocol.
const boxFormat = 1

// bootstrap reads the program from the connection, so that nothing has to be
// installed on the other side. It holds no quote of the shell's.
const bootstrap = `import sys;n=int(sys.stdin.buffer.readline());SOURCE=sys.stdin.buffer.read(n).decode();exec(compile(SOURCE,"dlm_box","exec"))`

// longest is how long an answer may take: hashing a large base is the slowest.
const longest = 30 * time.Minute

// request is what is asked of the program on the other side. Do says which fields count.
type request struct {
	Do     string   `json:"do"`
	Dir    string   `json:"dir,omitempty"`
	Folder string   `json:"folder,omitempty"`
	Name   string   `json:"name,omitempty"`
	Names  []string `json:"names,omitempty"`
	Hash   bool     `json:"hash,omitempty"`
	SHA256 string   `json:"sha256,omitempty"`
	Offset int64    `json:"offset"`
	Most   int      `json:"most,omitempty"`
	Start  []string `json:"start,omitempty"`
	Env    []string `json:"env,omitempty"`
	Size   int      `json:"size,omitempty"` // bytes of data that follow

	data []byte
}

// answer is what it says.
type answer struct {
	Error    string             `json:"error"`
	Format   int                `json:"format"`
	Python   string             `json:"python"`
	Dir      string             `json:"dir"` // absolute
	Rsync    bool               `json:"rsync"`
	Name     string             `json:"name"`
	Bytes    int64              `json:"bytes"`
	GPUs     int                `json:"gpus"`
	FreeDisk int64              `json:"free_disk"`
	Files    map[string]boxFile `json:"files"`
	There    bool               `json:"there"`
	Running  bool               `json:"running"`
	Attached bool               `json:"attached"`
	Ended    string             `json:"ended"`
	Size     int                `json:"size"` // bytes of data that follow

	data []byte
}

// boxFile is a file there.
type boxFile struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// refusal is an answer that says no: asking again would not help.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

// line is one connection to the program on the other side.
type line struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr *lastBytes
}

// lastBytes keeps the end of what is written to it.
type lastBytes struct {
	mu   sync.Mutex
	text []byte
}

func (l *lastBytes) Write(p []byte) (int, error) {
	const kept = 4 << 10
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	l.text = l.text[max(0, len(l.text)-kept):]
	return len(p), nil
}

func (l *lastBytes) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.TrimSpace(string(l.text))
}

// dial starts command, which runs the bootstrap somewhere, and sends the program.
func dial(command []string) (*line, error) {
	cmd := exec.Command(command[0], command[1:]...) //nolint:gosec // the user's own ssh
	own(cmd)
	l := &line{cmd: cmd, stderr: &lastBytes{}}
	cmd.Stderr = l.stderr
	var err error
	if l.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	l.out = bufio.NewReaderSize(out, 1<<16)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(l.in, "%d\n%s", len(boxProgram), boxProgram); err != nil {
		return nil, l.broken(err)
	}
	stop := time.AfterFunc(2*time.Minute, l.kill)
	defer stop.Stop()
	for {
		text, err := l.out.ReadString('\n')
		if err != nil {
			return nil, l.broken(err)
		}
		if strings.TrimSpace(text) == fmt.Sprintf("dlm-box %d", boxFormat) {
			return l, nil
		}
	}
}

func (l *line) kill() { _ = l.cmd.Process.Kill() }

// close ends the connection; what was started over there goes on.
func (l *line) close() {
	l.in.Close()
	l.kill()
	_ = l.cmd.Wait()
}

// broken ends a connection that failed, with what its command said last.
func (l *line) broken(err error) error {
	l.close()
	if said := l.stderr.String(); said != "" {
		return &lost{said, l.cmd.ProcessState.ExitCode()}
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the connection ended")
	}
	return &lost{err.Error(), l.cmd.ProcessState.ExitCode()}
}

// lost is a connection that ended.
type lost struct {
	text string
	code int // of the command
}

func (l *lost) Error() string { return l.text }

// ask sends a request and reads its answer.
func (l *line) ask(q request) (answer, error) {
	stop := time.AfterFunc(longest, l.kill)
	defer stop.Stop()
	q.Size = len(q.data)
	head, err := json.Marshal(q)
	if err != nil {
		return answer{}, err
	}
	if _, err := l.in.Write(append(append(head, '\n'), q.data...)); err != nil {
		return answer{}, l.broken(err)
	}
	text, err := l.out.ReadBytes('\n')
	if err != nil {
		return answer{}, l.broken(err)
	}
	a, err := parseAnswer(text)
	if err != nil {
		return a, l.broken(err)
	}
	a.data = make([]byte, a.Size)
	if _, err := io.ReadFull(l.out, a.data); err != nil {
		return a, l.broken(err)
	}
	if a.Error != "" {
		return a, &refusal{a.Error}
	}
	return a, nil
}

// parseAnswer reads an answer's first line.
func parseAnswer(text []byte) (answer, error) {
	var a answer
	if err := json.Unmarshal(bytes.TrimSpace(text), &a); err != nil {
		return a, fmt.Errorf("an answer that cannot be read: %w", err)
	}
	if a.Size < 0 || a.Size > maxEvent {
		return a, fmt.Errorf("an answer of %d bytes; expected 0 to %d", a.Size, maxEvent)
	}
	return a, nil
}

// box is another machine, reached over a connection that is made again when it is
// lost.
type box struct {
	name     string
	command  []string      // runs the bootstrap there
	dir      string        // of bases and jobs there, as it was given
	patience time.Duration // how long a lost connection is tried again
	note     func(string)

	mu    sync.Mutex
	l     *line
	hello answer // of the first connection
	once  bool   // it was reached before
}

// ask sends a request, over a new connection where there is none or where the old
// one is lost. Every request may be made twice.
func (b *box) ask(ctx context.Context, q request) (answer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wait, since := 250*time.Millisecond, time.Time{}
	for {
		a, err := b.try(q)
		var no *refusal
		var gone *lost
		switch {
		case err == nil:
			if !since.IsZero() {
				b.say(fmt.Sprintf("%s answers again after %s", b.name, time.Since(since).Round(time.Second)))
			}
			return a, nil
		case errors.As(err, &no):
			return a, fmt.Errorf("%s: %w", b.name, err)
		case !errors.As(err, &gone):
			return a, fmt.Errorf("%s: %w", b.name, err)
		case !b.once || final(gone):
			return a, fmt.Errorf("%s cannot be reached: %w%s", b.name, err, nextStep(gone))
		}
		if since.IsZero() {
			since = time.Now()
			b.say(fmt.Sprintf("the connection to %s is lost (%v): trying again for %s; the training goes on there", b.name, err, b.patience))
		}
		if time.Since(since) > b.patience {
			return a, fmt.Errorf("the connection to %s is lost since %s: %w; what runs there goes on, the same command attaches to it", b.name, b.patience, err)
		}
		select {
		case <-ctx.Done():
			return a, ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, 30*time.Second)
	}
}

func (b *box) say(text string) {
	if b.note != nil {
		b.note(text)
	}
}

// try makes one attempt.
func (b *box) try(q request) (answer, error) {
	if b.l == nil {
		l, err := dial(b.command)
		if err != nil {
			return answer{}, err
		}
		if b.hello, err = l.ask(request{Do: "hello", Dir: b.dir}); err != nil {
			l.close()
			return answer{}, err
		}
		b.l, b.once = l, true
	}
	a, err := b.l.ask(q)
	var no *refusal
	if err != nil && !errors.As(err, &no) {
		b.l = nil
	}
	return a, err
}

// close ends the connection.
func (b *box) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.l != nil {
		b.l.close()
		b.l = nil
	}
}

// final says whether trying again is useless.
func final(l *lost) bool {
	for _, s := range []string{"Permission denied", "Host key verification failed", "REMOTE HOST IDENTIFICATION", "command not found", "not found\n"} {
		if strings.Contains(l.text, s) {
			return true
		}
	}
	return l.code == 127 // a shell's "no such command"
}

// nextStep says what to do about a connection that was refused.
func nextStep(l *lost) string {
	switch {
	case strings.Contains(l.text, "Permission denied"):
		return "; name the key with trl.identity, or load it into ssh-agent"
	case strings.Contains(l.text, "Host key"), strings.Contains(l.text, "HOST IDENTIFICATION"):
		return "; connect once with ssh itself and look at the host's key"
	case strings.Contains(l.text, "not found"), l.code == 127:
		return "; name a Python of that machine with trl.python"
	case strings.Contains(l.text, "Could not resolve"):
		return "; is trl.host spelt right?"
	}
	return "; try it with ssh itself"
}
