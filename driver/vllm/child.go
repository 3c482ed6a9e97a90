package vllm

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"dlm/internal/remote"
)

// child is a vLLM that this process started. It runs in a process group of its
// own, which ends with it, with Close, and with this process.
type child struct {
	cmd  *exec.Cmd
	dir  string // working folder
	log  string // what it wrote
	rank int    // --max-lora-rank
	did  string // what it was last known to do, for errors
	done chan struct{}
	err  error // of Wait, once done is closed
}

// baseName is what a child calls its base.
const baseName = "base"

// start runs vLLM and waits until it answers.
func (e *Engine) start(ctx context.Context) error {
	rank, err := maxRank(e.o.Rank)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(e.o.Dir, 0o755); err != nil {
		return err
	}
	if err := claim(e.o.Dir, e.o.Note); err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	key := make([]byte, 16)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	e.url, e.key = "http://127.0.0.1:"+strconv.Itoa(port), hex.EncodeToString(key)
	c := &child{dir: e.o.Dir, log: filepath.Join(e.o.Dir, "vllm.log"), rank: rank, did: "starting", done: make(chan struct{})}
	c.cmd = exec.Command(e.o.Python, e.arguments(port, rank)...)
	c.cmd.Dir = e.o.Dir
	c.cmd.Env = append(os.Environ(), e.environment()...)
	e.o.Note(fmt.Sprintf("starting vLLM (its log: %s)", c.log))
	if err := c.run(); err != nil {
		return fmt.Errorf("vLLM could not be started with %s: %w; name a Python that has vLLM in vllm.python or DLM_VLLM_PYTHON", e.o.Python, err)
	}
	e.child = c
	return e.waitReady(ctx, c)
}

// arguments are vLLM's.
func (e *Engine) arguments(port, rank int) []string {
	args := []string{"-m", "vllm.entrypoints.openai.api_server", "--model", e.o.Model, "--served-model-name", baseName,
		"--host", "127.0.0.1", "--port", strconv.Itoa(port), "--generation-config", "vllm",
		"--enable-lora", "--max-loras", strconv.Itoa(e.o.Loras), "--max-cpu-loras", strconv.Itoa(e.o.Known), "--max-lora-rank", strconv.Itoa(rank)}
	if e.o.DType != "" {
		args = append(args, "--dtype", e.o.DType)
	}
	if e.o.MaxLen > 0 {
		args = append(args, "--max-model-len", strconv.Itoa(e.o.MaxLen))
	}
	if e.o.GPU > 0 {
		args = append(args, "--gpu-memory-utilization", strconv.FormatFloat(e.o.GPU, 'g', -1, 64))
	}
	return append(args, e.o.Args...)
}

// environment is what a child gets besides this process's.
func (e *Engine) environment() []string {
	return []string{
		"VLLM_ALLOW_RUNTIME_LORA_UPDATING=1", "VLLM_API_KEY=" + e.key,
		"VLLM_NO_USAGE_STATS=1", "DO_NOT_TRACK=1", "HF_HUB_OFFLINE=1",
		"PATH=" + filepath.Dir(e.o.Python) + string(os.PathListSeparator) + os.Getenv("PATH"), // compilers of its environment
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil //nolint:forcetypeassert // of a TCP listener
}

// run starts the process, and a goroutine that waits for its end.
func (c *child) run() error {
	log, err := os.Create(c.log)
	if err != nil {
		return err
	}
	c.cmd.Stdout, c.cmd.Stderr = log, log
	started := make(chan error)
	go func() {
		defer log.Close()
		unlock := inGroup(c.cmd)
		defer unlock()
		err := c.cmd.Start()
		if err == nil {
			err = record(c.dir, c.cmd.Process.Pid)
		}
		started <- err
		if err != nil {
			return
		}
		c.err = c.cmd.Wait()
		killGroup(c.cmd.Process.Pid) // what it started, should it have died before them
		release(c.dir, c.cmd.Process.Pid)
		close(c.done)
	}()
	return <-started
}

// progressEvery is how often a start that takes long says what it does.
const progressEvery = 10 * time.Second

// waitReady asks until vLLM answers, it ends, or the time is over.
func (e *Engine) waitReady(ctx context.Context, c *child) error {
	ctx, cancel := context.WithTimeoutCause(ctx, e.o.StartTimeout, errStartTimeout)
	defer cancel()
	start, told := time.Now(), time.Now()
	for {
		resp, err := e.once(ctx, http.MethodGet, "/health", nil)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				c.did = "serving"
				e.o.Note(fmt.Sprintf("vLLM answers after %.0f s", time.Since(start).Seconds()))
				return nil
			}
		}
		if time.Since(told) >= progressEvery {
			told = time.Now()
			e.o.Note(fmt.Sprintf("vLLM is starting (%.0f s): %s", time.Since(start).Seconds(), remote.OneLine(lastLine(c.log), 120)))
		}
		select {
		case <-c.done:
			return c.lastWords()
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errStartTimeout) {
				return fmt.Errorf("vLLM did not answer within %v; raise vllm.start_timeout, or see what it does in %s; its last line: %s", e.o.StartTimeout, c.log, remote.OneLine(lastLine(c.log), 300))
			}
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

var errStartTimeout = errors.New("the time to start is over")

// ended says whether the process is gone.
func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// endsWithin is how long a process may take to end once its connections have.
const endsWithin = 5 * time.Second

// endsSoon says whether the process is gone, or goes within the moment that
// lies between its connections closing and its end being known.
func (c *child) endsSoon() bool {
	select {
	case <-c.done:
		return true
	case <-time.After(endsWithin):
		return false
	}
}

// lastWords is the error of a child that ended by itself.
func (c *child) lastWords() error {
	how := "by itself"
	if c.err != nil {
		how = c.err.Error()
	}
	return fmt.Errorf("vLLM ended while it was %s (%s); its last words: %s (all of them: %s)", c.did, how, lastWords(c.log), c.log)
}

// stopAfter is how long a child that was asked to end may take.
const stopAfter = 10 * time.Second

// stop ends the process and what it started.
func (c *child) stop() {
	pid := c.cmd.Process.Pid
	terminate(pid)
	select {
	case <-c.done:
	case <-time.After(stopAfter):
		killGroup(pid)
		<-c.done
	}
	_ = os.RemoveAll(filepath.Join(c.dir, adaptersDir))
}

// adaptersDir is the folder of the copies that a child reads.
const adaptersDir = "adapters"

// keep copies an adapter's files to where nobody changes them.
func (c *child) keep(dir, name string) (string, error) {
	to := filepath.Join(c.dir, adaptersDir, name)
	to, err := filepath.Abs(to)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return "", err
	}
	for _, f := range []string{configFile, weightsFile} {
		if err := copyFile(filepath.Join(dir, f), filepath.Join(to, f)); err != nil {
			return "", err
		}
	}
	return to, nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
