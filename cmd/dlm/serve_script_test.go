package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdFreePort names an address where nobody listens: freeport VARIABLE.
func cmdFreePort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: freeport VARIABLE")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], l.Addr().String())
	ts.Check(l.Close())
}

// cmdServed waits until dlm serve is ready: served ADDR.
func cmdServed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: served ADDR")
	}
	ts.Check(until(args[0], "/readyz", http.StatusOK))
}

// cmdEventually waits until a path is answered with this status: eventually ADDR PATH STATUS.
func cmdEventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: eventually ADDR PATH STATUS")
	}
	status, err := strconv.Atoi(args[2])
	ts.Check(err)
	ts.Check(until(args[0], args[1], status))
}

func until(addr, path string, status int) error {
	last := ""
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get("http://" + addr + path)
		if err != nil {
			last = err.Error()
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == status {
			return nil
		}
		last = resp.Status
	}
	return fmt.Errorf("%s%s: %s; expected %d", addr, path, last, status)
}

// cmdAsk sends a request, POST when there is a body, and prints status, headers
// and answer: ask [-key KEY] ADDR PATH [BODY...].
func cmdAsk(ts *testscript.TestScript, neg bool, args []string) {
	key := ""
	if len(args) > 1 && args[0] == "-key" {
		key, args = args[1], args[2:]
	}
	if neg || len(args) < 2 {
		ts.Fatalf("usage: ask [-key KEY] ADDR PATH [BODY...]")
	}
	method, body := http.MethodGet, strings.Join(args[2:], " ")
	if body != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequest(method, "http://"+args[0]+args[1], strings.NewReader(body))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	var out bytes.Buffer
	fmt.Fprintln(&out, resp.Status)
	ts.Check(resp.Header.Write(&out))
	fmt.Fprintln(&out)
	_, err = io.Copy(&out, resp.Body)
	ts.Check(err)
	_, err = ts.Stdout().Write(out.Bytes())
	ts.Check(err)
}
