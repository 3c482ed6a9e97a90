//go:build linux

package places

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sshd starts a server of the test's own on this machine, with throw-away keys,
// and returns an ssh configuration in which it is called gpubox. Nothing of the
// system's is touched.
func (w *world) sshd() (config string) {
	w.t.Helper()
	bin, err := exec.LookPath("sshd")
	if err != nil {
		if bin = "/usr/sbin/sshd"; !isFile(bin) {
			w.t.Skip("there is no sshd (package openssh-server)")
		}
	}
	dir := filepath.Join(w.dir, "sshd")
	key := func(name string) string {
		path := filepath.Join(dir, name)
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path).CombinedOutput(); err != nil { //nolint:gosec // fixed words
			w.t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
		return path
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	host, mine := key("host"), key("mine")
	port := freePort(w.t)
	public, err := os.ReadFile(host + ".pub")
	me, err2 := user.Current()
	if err := errors.Join(err, err2, os.MkdirAll("/run/sshd", 0o755)); err != nil {
		w.t.Skipf("sshd needs a folder of its own: %v", err)
	}
	server, known := filepath.Join(dir, "sshd_config"), filepath.Join(dir, "known")
	config = filepath.Join(dir, "config")
	err = errors.Join(
		os.WriteFile(server, fmt.Appendf(nil, "Port %d\nListenAddress 127.0.0.1\nHostKey %s\nAuthorizedKeysFile %s.pub\nPidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n", port, host, mine), 0o600),
		os.WriteFile(known, fmt.Appendf(nil, "[127.0.0.1]:%d %s", port, public), 0o600),
		os.WriteFile(config, fmt.Appendf(nil, "Host gpubox\n  HostName 127.0.0.1\n  Port %d\n  User %s\n  IdentityFile %s\n  UserKnownHostsFile %s\n", port, me.Username, mine, known), 0o600))
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(bin, "-D", "-e", "-f", server) //nolint:gosec // the system's
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for range 100 {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			return config
		}
		time.Sleep(50 * time.Millisecond)
	}
	w.t.Fatal("sshd does not answer")
	return ""
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // of a TCP listener
}

// TestSSH trains over ssh and kills, in the middle, the connection (twice), dlm
// and the training program.
func TestSSH(t *testing.T) {
	w := newWorld(t)
	config := w.sshd()
	box := filepath.Join(w.dir, "box")
	dir := w.project("far", fmt.Sprintf("where: ssh, host: gpubox, ssh_config: %s, dir: %s, python: %s", config, box, w.python))

	// The connection: dlm's ssh, and then the server's side of it.
	r := w.train(dir)
	r.until(3)
	if n := kill(t, func(_, parent int, command string) bool {
		return parent == r.cmd.Process.Pid && strings.HasPrefix(command, "ssh ")
	}); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	r.until(6)
	if n := kill(t, func(_, _ int, command string) bool {
		return strings.Contains(command, `exec(compile(SOURCE,"dlm_box"`) && !strings.Contains(command, "ssh ")
	}); n == 0 {
		t.Error("nothing answers on the other side")
	}
	r.until(9)
	r.has("sending the base to gpubox", "the connection to gpubox is lost", "gpubox answers again")
	if n := strings.Count(r.said(), "answers again"); n != 2 {
		t.Errorf("connected again %d times, want 2", n)
	}

	// dlm itself: another one attaches.
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	r = w.train(dir)
	r.until(13)
	r.has("attached at step")

	// The program: its end is told, and it goes on from its last checkpoint.
	killProgram(t, box)
	if r.end() == nil {
		t.Error("dlm does not fail with its program")
	}
	r.has("SIGKILL", "goes on from its last checkpoint")
	r = w.train(dir)
	r.ok()
	if strings.Contains(r.said(), "sending the base") {
		t.Error("the base was sent again")
	}
	if got, want := w.adapter(dir), w.uncut(); got != want {
		t.Errorf("the adapter is %s, that of a run never cut %s", got, want)
	}
}
