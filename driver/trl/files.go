package trl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// files is a folder that this machine shares with another: where the bundle works
// when it is not where it was written.
type files struct {
	dir  string // empty: bundles work where they lie
	note func(string)
}

func (f files) say(text string) {
	if f.note != nil {
		f.note(text)
	}
}

// sharedBundle is the folder where a bundle works.
type sharedBundle struct{ Dir string }

// at is where a bundle works.
func (f files) at(b Bundle) sharedBundle {
	if f.dir == "" {
		return sharedBundle{b.Dir}
	}
	return sharedBundle{filepath.Join(f.dir, "jobs", jobID(b))}
}

// lay copies base and bundle into the shared folder as far as they are missing.
func (f files) lay(ctx context.Context, b Bundle) (sharedBundle, error) {
	there := f.at(b)
	if f.dir == "" {
		return there, nil
	}
	base, err := f.layBase(ctx, b)
	if err != nil {
		return there, err
	}
	names := slices.Clone(programFiles)
	for name := range b.Manifest.Files {
		names = append(names, name)
	}
	for _, name := range names {
		raw, err := os.ReadFile(b.Path(name))
		if err != nil {
			return there, err
		}
		if err := there.put(name, raw); err != nil {
			return there, err
		}
	}
	job := b.Job
	job.Base = base
	raw, err := json.MarshalIndent(job, "", " ")
	if err != nil {
		return there, err
	}
	return there, there.put(JobFile, raw)
}

// layBase copies the base into the shared folder once, and returns where it is.
func (f files) layBase(ctx context.Context, b Bundle) (string, error) {
	list, total, err := baseFiles(b.Job.Base)
	if err != nil {
		return "", err
	}
	to := filepath.Join(f.dir, "bases", baseKey(b, list))
	if _, err := os.Stat(filepath.Join(to, wholeFile)); err == nil {
		return to, nil
	}
	f.say(fmt.Sprintf("copying the base into %s, once: %s", f.dir, gib(total)))
	begin := time.Now()
	for _, one := range list {
		if err := copyFile(ctx, filepath.Join(b.Job.Base, one.Name), filepath.Join(to, one.Name), one.Bytes); err != nil {
			return "", err
		}
	}
	f.say(fmt.Sprintf("the base is there, after %s", time.Since(begin).Round(time.Second)))
	return to, writeJSON(filepath.Join(to, wholeFile), list)
}

// copyFile copies a file unless one of its size is there already; what is cut off
// has another name.
func copyFile(ctx context.Context, from, to string, size int64) error {
	if info, err := os.Stat(to); err == nil && info.Size() == size {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to + ".part")
	if err != nil {
		return err
	}
	defer out.Close()
	for {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err := io.CopyN(out, in, 64<<20); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
	}
	if err := errors.Join(out.Sync(), out.Close()); err != nil {
		return err
	}
	return os.Rename(to+".part", to)
}

// clear removes what an earlier start left that is not for the next.
func (s sharedBundle) clear() error {
	log := filepath.Join(s.Dir, LogFile)
	err := os.Rename(log, log+".before")
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(filepath.Join(s.Dir, StopFile)), os.RemoveAll(filepath.Join(s.Dir, RewardsDir)))
}

// put writes a file by renaming.
func (s sharedBundle) put(name string, data []byte) error {
	path := filepath.Join(s.Dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".tmp", data, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// read returns a piece of a file from offset on; nothing where there is none.
func (s sharedBundle) read(name string, offset int64) ([]byte, error) {
	f, err := os.Open(filepath.Join(s.Dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.NewSectionReader(f, offset, sendChunk))
}

// tail returns the end of a file; nothing where there is none.
func (s sharedBundle) tail(name string, most int64) ([]byte, error) {
	info, err := os.Stat(filepath.Join(s.Dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return s.read(name, max(0, info.Size()-most))
}

// fetch copies out/, the events and the log back into the bundle's own folder.
func (f files) fetch(b Bundle) error {
	there := f.at(b)
	if there.Dir == b.Dir {
		return nil
	}
	tmp := b.Path(OutDir + ".tmp")
	if err := errors.Join(os.RemoveAll(tmp), os.CopyFS(tmp, os.DirFS(filepath.Join(there.Dir, OutDir)))); err != nil {
		return err
	}
	for _, name := range []string{EventsFile, LogFile} {
		raw, err := os.ReadFile(filepath.Join(there.Dir, name))
		if err == nil {
			err = sharedBundle{b.Dir}.put(name, raw)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.RemoveAll(b.Path(OutDir)); err != nil {
		return err
	}
	return os.Rename(tmp, b.Path(OutDir))
}
