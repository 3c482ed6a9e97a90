package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"golang.org/x/term"

	"dlm/driver/sqlite"
)

// app is what commands share: streams, flags, and things opened once.
type app struct {
	ctx            context.Context
	flags          *globals
	stdin          io.Reader
	stdout, stderr io.Writer
	closers        []func() error
	db             *sqlite.Store
}

func newApp(ctx context.Context, g *globals, stdin io.Reader, stdout, stderr io.Writer) *app {
	return &app{ctx: ctx, flags: g, stdin: stdin, stdout: stdout, stderr: stderr}
}

// onClose runs f when the command is over, last opened first.
func (a *app) onClose(f func() error) { a.closers = append(a.closers, f) }

func (a *app) close() {
	for i := len(a.closers) - 1; i >= 0; i-- {
		if err := a.closers[i](); err != nil {
			fmt.Fprintln(a.stderr, "dlm: closing:", err)
		}
	}
}

// printf writes text for people; with --json standard output is for the object alone.
func (a *app) printf(format string, args ...any) {
	if !a.flags.JSON {
		fmt.Fprintf(a.stdout, format, args...)
	}
}

// notef writes progress and notes to standard error.
func (a *app) notef(format string, args ...any) {
	fmt.Fprintf(a.stderr, format+"\n", args...)
}

// printJSON writes one object, indented, and nothing else.
func (a *app) printJSON(v any) {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(emptyLists(v)); err != nil {
		fmt.Fprintln(a.stderr, "dlm: writing JSON:", err)
	}
}

// finish prints the result: the object with --json, else what text writes.
func (a *app) finish(v any, text func()) {
	if a.flags.JSON {
		a.printJSON(v)
		return
	}
	text()
}

// terminal says whether standard output is one.
func (a *app) terminal() bool {
	f, ok := a.stdout.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// color says whether to colour standard output.
func (a *app) color() bool {
	return !a.flags.NoColor && !a.flags.JSON && (a.terminal() || os.Getenv("CLICOLOR_FORCE") == "1")
}

// buildVersion is set by make build: the commit, also where Go records none.
var buildVersion string

// version is the module's version or commit, as the build recorded it.
func version() string {
	if buildVersion != "" {
		return buildVersion
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			v = s.Value[:12]
		}
		if s.Key == "vcs.modified" && s.Value == "true" {
			v += "+changes"
		}
	}
	if v == "" || v == "(devel)" {
		return "development"
	}
	return v
}
