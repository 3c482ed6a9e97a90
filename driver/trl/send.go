package trl

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// PlaceFile is the file in a bundle that says where its job was last begun.
const PlaceFile = "place.json"

const (
	sendChunk = 4 << 20  // bytes of a piece of a file
	logTail   = 16 << 10 // bytes of a log that LastWords returns
)

// wholeFile is written into a base's folder over there once all of it has come.
const wholeFile = "whole.json"

// baseFile is a file of a base.
type baseFile struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

// baseFiles lists a base's folder. Links are followed: a Hub cache is made of them.
func baseFiles(dir string) (out []baseFile, total int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, 0, err
	}
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, 0, err
		}
		if info.Mode().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
			out = append(out, baseFile{e.Name(), info.Size()})
			total += info.Size()
		}
	}
	return out, total, nil
}

// baseKey names a base over there: by the hash of its weights and by the files that
// it is made of, for one base can be written in more than one way.
func baseKey(b Bundle, files []baseFile) string {
	raw, err := json.Marshal(struct {
		Digest any
		Files  []baseFile
	}{b.Job.BaseDigest, files})
	if err != nil {
		panic(err) // plain values
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:12])
}

// sendBase brings the base over unless it is there, and returns its folder there.
// It is kept: the next job of any project with this base finds it.
func (s *SSH) sendBase(ctx context.Context, b Bundle) (string, error) {
	files, total, err := baseFiles(b.Job.Base)
	if err != nil {
		return "", err
	}
	if len(files) == 0 {
		return "", fmt.Errorf("%s holds no files; expected a base in Hugging Face's layout", b.Job.Base)
	}
	root, err := s.root(ctx)
	if err != nil {
		return "", err
	}
	folder := path.Join(root, "bases", baseKey(b, files))
	a, err := s.box.ask(ctx, request{Do: "read", Folder: folder, Name: wholeFile, Most: 1 << 20})
	if err != nil || a.There {
		return folder, err
	}
	d, err := s.box.ask(ctx, request{Do: "device", Dir: s.o.Dir})
	if err != nil {
		return "", err
	}
	if d.FreeDisk < total {
		return "", fmt.Errorf("it takes %s, and %s has %s free below %s; make room there, or name another folder with trl.dir", gib(total), s.o.Host, gib(d.FreeDisk), root)
	}
	s.box.say(fmt.Sprintf("sending the base to %s, once: %s", s.o.Host, gib(total)))
	begin := time.Now()
	if err := s.sendFiles(ctx, b.Job.Base, folder, files); err != nil {
		return "", err
	}
	raw, err := json.Marshal(files)
	if err != nil {
		return "", err
	}
	if _, err := s.box.ask(ctx, request{Do: "put", Folder: folder, Name: wholeFile, data: raw}); err != nil {
		return "", err
	}
	s.box.say(fmt.Sprintf("the base is on %s, after %s", s.o.Host, time.Since(begin).Round(time.Second)))
	return folder, nil
}

// root is the absolute path of the folder for bases and jobs over there.
func (s *SSH) root(ctx context.Context) (string, error) {
	a, err := s.box.ask(ctx, request{Do: "hello", Dir: s.o.Dir})
	if err != nil {
		return "", err
	}
	if a.Format != boxFormat {
		return "", fmt.Errorf("%s speaks format %d; expected %d", s.o.Host, a.Format, boxFormat)
	}
	return a.Dir, nil
}

// sendFiles brings files into a folder over there: with rsync where both sides
// have it, else over the connection itself. Both go on where they were cut off.
func (s *SSH) sendFiles(ctx context.Context, dir, folder string, files []baseFile) error {
	rsync, err := exec.LookPath("rsync")
	if err == nil && s.box.hello.Rsync && !s.o.noRsync {
		if err := s.rsync(ctx, rsync, dir, folder, files); err != nil {
			return err
		}
	} else {
		for _, f := range files {
			if err := s.send(ctx, filepath.Join(dir, f.Name), folder, f.Name); err != nil {
				return err
			}
		}
	}
	a, err := s.box.ask(ctx, request{Do: "listing", Folder: folder})
	if err != nil {
		return err
	}
	for _, f := range files {
		if got := a.Files[f.Name].Bytes; got != f.Bytes {
			return fmt.Errorf("%s has %d bytes there; expected %d: did the base change while it was sent?", f.Name, got, f.Bytes)
		}
	}
	return nil
}

// rsync's exit codes for a connection that was lost.
var rsyncLost = []int{10, 12, 30, 35, 255}

// rsync runs rsync until it is through, over connections that may be lost.
func (s *SSH) rsync(ctx context.Context, bin, dir, folder string, files []baseFile) error {
	shell := "ssh"
	for _, o := range s.options() {
		shell += " " + rsyncQuote(o)
	}
	// The folder must be there; a put makes it.
	if _, err := s.box.ask(ctx, request{Do: "put", Folder: folder, Name: ".dlm", data: []byte("a base of dlm\n")}); err != nil {
		return err
	}
	args := []string{"-rtL", "--partial", "--inplace", "-e", shell, "--"}
	for _, f := range files {
		args = append(args, filepath.Join(dir, f.Name))
	}
	args = append(args, s.o.Host+":"+remotePath(folder)+"/")
	for since, wait := time.Now(), time.Second; ; wait = min(2*wait, 30*time.Second) {
		said := &lastBytes{}
		cmd := exec.CommandContext(ctx, bin, args...) //nolint:gosec // the user's own rsync
		own(cmd)
		cmd.Stderr = said
		begin := time.Now()
		err := cmd.Run()
		var exit *exec.ExitError
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.As(err, &exit), !slices.Contains(rsyncLost, exit.ExitCode()):
			return fmt.Errorf("rsync: %w: %s", err, said)
		}
		if time.Since(begin) > s.o.Patience {
			since = begin // it got on for a while
		}
		if time.Since(since) > s.o.Patience+time.Since(begin) {
			return fmt.Errorf("rsync: %w: %s; the same command goes on with it", err, said)
		}
		s.box.say(fmt.Sprintf("sending to %s was cut off (%s): it goes on", s.o.Host, said))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// rsyncQuote quotes a word of rsync's -e, which knows quotes but no shell.
func rsyncQuote(word string) string {
	if !strings.ContainsAny(word, " '\"") {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", "''") + "'"
}

// remotePath is a path over there as rsync's other side takes it: older ones give
// it to a shell.
func remotePath(p string) string {
	for _, r := range p {
		if strings.ContainsRune(" '\"\\$`()*?[]{}&;|<>!#~", r) {
			return remoteQuote(p)
		}
	}
	return p
}

// send brings one file over the connection, from where an earlier attempt ended.
func (s *SSH) send(ctx context.Context, from, folder, name string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	a, err := s.box.ask(ctx, request{Do: "listing", Folder: folder, Names: []string{name + ".part"}})
	if err != nil {
		return err
	}
	h := sha256.New()
	offset, err := io.CopyN(h, f, a.Files[name+".part"].Bytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for buf := make([]byte, sendChunk); ; {
		n, err := io.ReadFull(f, buf)
		if n == 0 && errors.Is(err, io.EOF) {
			if _, err := s.box.ask(ctx, request{Do: "part", Folder: folder, Name: name, Offset: offset}); err != nil {
				return err // nothing to add, but what is there too much is cut off, and an empty file is made
			}
			break
		}
		if n == 0 {
			return err
		}
		h.Write(buf[:n])
		if _, err := s.box.ask(ctx, request{Do: "part", Folder: folder, Name: name, Offset: offset, data: buf[:n]}); err != nil {
			return err
		}
		offset += int64(n)
	}
	_, err = s.box.ask(ctx, request{Do: "whole", Folder: folder, Name: name, SHA256: hex.EncodeToString(h.Sum(nil))})
	return err
}
