package trl

import (
	"embed"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// programSource holds the program's files; they import one another by their names.
//
//go:embed program/dlm_trl.py program/dlm_ids.py program/dlm_book.py program/dlm_bundle.py
var programSource embed.FS

// programFiles are the files of a bundle that are the program; ProgramFile is the
// one that is started.
var programFiles = func() []string {
	found, err := fs.Glob(programSource, "program/*.py")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	for i, name := range found {
		found[i] = path.Base(name)
	}
	return found
}()

// writeProgram writes the program into a folder.
func writeProgram(dir string) error {
	for _, name := range programFiles {
		source, err := programSource.ReadFile("program/" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), source, 0o644); err != nil {
			return err
		}
	}
	return nil
}
