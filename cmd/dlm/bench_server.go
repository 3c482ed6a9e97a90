package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// startServer starts dlm serve for the project on a free port, in a process of
// its own so that the load does not share its memory and scheduler, waits until
// it is ready, and ends it with the command. It returns its URL.
func (a *app) startServer() (string, error) {
	p, err := a.project(nil)
	if err != nil {
		return "", fmt.Errorf("--url is not given, and there is no project to serve: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	args := []string{"-C", p.Root, "serve", "--addr", addr}
	if a.flags.Threads > 0 {
		args = append(args, "--threads", fmt.Sprint(a.flags.Threads))
	}
	cmd := exec.Command(self, args...)
	cmd.Stdout, cmd.Stderr = a.stderr, a.stderr
	if err := cmd.Start(); err != nil {
		return "", err
	}
	over := make(chan error, 1)
	go func() { over <- cmd.Wait() }()
	a.onClose(func() error {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return nil //nolint:nilerr // it has ended already
		}
		select {
		case err := <-over:
			return err
		case <-time.After(20 * time.Second):
			return cmd.Process.Kill()
		}
	})
	return "http://" + addr, waitReady(a.ctx, "http://"+addr, over)
}

// waitReady asks /readyz until it says so, the server ends, or two minutes have passed.
func waitReady(ctx context.Context, url string, over <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-over:
			return fmt.Errorf("dlm serve ended before it was ready: %v", err) //nolint:errorlint // an exit status; what it said stands above
		case <-ctx.Done():
			return fmt.Errorf("dlm serve was not ready: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
