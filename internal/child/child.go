// Package child runs another program's server for as long as this process needs
// it: on a free port, with its output kept, gone when this process is. It knows
// no protocol; drivers bring theirs.
package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// Options say what to run.
type Options struct {
	Name    string                      // of the program, for errors
	Path    string                      // of its binary
	Args    []string                    //
	Env     []string                    // besides this process's
	Ready   func(context.Context) error // nil once it can be asked; called until then
	Timeout time.Duration               // to become ready, 0 = two minutes
}

// Server is a running child.
type Server struct {
	o    Options
	cmd  *exec.Cmd
	out  tail
	done chan struct{}
	err  error // of Wait, once done is closed
}

// Port returns a TCP port of this machine that nobody uses at present.
func Port() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("%v is no TCP address", l.Addr())
	}
	return addr.Port, nil
}

// Start runs the program and waits until it is ready. A program that ends before
// is an error with its last words.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Minute
	}
	s := &Server{o: o, cmd: exec.Command(o.Path, o.Args...), done: make(chan struct{})}
	s.cmd.Env = append(os.Environ(), o.Env...)
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	started := make(chan error)
	go func() {
		unlock := tie(s.cmd) // kept until the child's end: the kernel watches this thread
		defer unlock()
		err := s.cmd.Start()
		started <- err
		if err == nil {
			s.err = s.cmd.Wait()
			close(s.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%s could not be started: %w", o.Name, err)
	}
	if err := s.wait(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) wait(ctx context.Context) error {
	late := time.After(s.o.Timeout)
	for {
		err := s.o.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.done:
			return s.Ended()
		case <-ctx.Done():
			return ctx.Err()
		case <-late:
			return fmt.Errorf("%s is not ready after %v (%w); its last words: %s", s.o.Name, s.o.Timeout, err, s.out.last())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Ended is nil while the child runs, else an error with its last words.
func (s *Server) Ended() error {
	select {
	case <-s.done:
	default:
		return nil
	}
	how := "with exit code 0"
	if s.err != nil {
		how = s.err.Error()
	}
	return fmt.Errorf("%s ended (%s); its last words: %s", s.o.Name, how, s.out.last())
}

// Close ends the child, with what it started where the system can tell, and waits
// for its end.
func (s *Server) Close() {
	select {
	case <-s.done:
		return
	default:
	}
	end(s.cmd.Process, false)
	select {
	case <-s.done:
	case <-time.After(5 * time.Second):
		end(s.cmd.Process, true)
		<-s.done
	}
}

// Because joins an error of a request to the child with the child's end, where
// that is the cause.
func (s *Server) Because(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	select {
	case <-s.done:
	case <-time.After(time.Second): // its connections close before its end is known
	}
	if end := s.Ended(); end != nil {
		return end
	}
	return err
}

// tailBytes is how much of the output is kept.
const tailBytes = 16 << 10

// tail keeps the end of what is written.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if n := len(t.buf) - tailBytes; n > 0 {
		t.buf = append(t.buf[:0], t.buf[n:]...)
	}
	return len(p), nil
}

// last returns the last lines as one, for an error.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []string
	for _, l := range bytes.Split(t.buf, []byte("\n")) {
		if s := strings.TrimSpace(strings.ToValidUTF8(string(l), "?")); s != "" {
			lines = append(lines, s)
		}
	}
	if len(lines) == 0 {
		return "none"
	}
	return strings.Join(lines[max(0, len(lines)-4):], " | ")
}
