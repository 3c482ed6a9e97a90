// Command dlm turns domain documents into a proven, served adapter. Each
// subcommand is one step of the life cycle and usable alone; this package only
// parses flags, picks drivers and wires them to the stages.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes, the same for every command.
const (
	exitOK           = 0
	exitFailed       = 1
	exitUsage        = 2
	exitGateFailed   = 3
	exitInconclusive = 4
)

// exitError carries an exit code other than exitFailed. A nil err means that
// what there was to say has been printed.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageError is a mistake in flags or arguments that kong cannot see.
func usageError(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// globals are flags that every command takes.
type globals struct {
	JSON    bool   `help:"Print one JSON object on standard output instead of text."`
	Project string `short:"C" type:"path" placeholder:"DIR" help:"Project folder (default: the nearest one upwards that holds dlm.yaml)."`
	Threads int    `help:"Threads of the native engine (default: affinity, physical cores and CPU quota decide)." placeholder:"N"`
	NoColor bool   `env:"NO_COLOR" help:"No colours."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first Ctrl-C lets a run write its checkpoint; a second one ends dlm at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is main without the process: tests call it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var c cli
	code := -1
	parser, err := kong.New(&c,
		kong.Name("dlm"),
		kong.Description("From domain documents to a proven, served adapter."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(n int) { code = n }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.UsageOnError(),
		kong.Vars{"version": version()},
	)
	if err != nil {
		fmt.Fprintln(stderr, "dlm:", err)
		return exitFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := parser.Parse(args)
	if code >= 0 { // --help or --version has spoken
		return code
	}
	a := newApp(ctx, &c.globals, stdin, stdout, stderr)
	defer a.close()
	if err != nil {
		a.flags.JSON = slices.Contains(args, "--json") // parsing may have stopped before it
		a.printError(err)
		fmt.Fprintf(stderr, "Run \"dlm --help\", or \"dlm COMMAND --help\".\n")
		return exitUsage
	}
	return a.report(kctx.Run(a))
}

// report prints an error and returns the process's exit code.
func (a *app) report(err error) int {
	if err == nil {
		return exitOK
	}
	var e *exitError
	if errors.As(err, &e) {
		if e.err != nil {
			a.printError(e.err)
		}
		return e.code
	}
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(a.stderr, "dlm: stopped")
		return exitFailed
	}
	a.printError(err)
	return exitFailed
}

// refused is the error of data that did not pass. Its findings have been
// printed, and its text is what the record of the run keeps.
type refused struct{ error }

func (r *refused) Unwrap() error { return r.error }

func (a *app) printError(err error) {
	var r *refused
	if errors.As(err, &r) && !a.flags.JSON {
		fmt.Fprintln(a.stderr, "dlm: check: the data is refused, for the reasons above; nothing was trained")
		return
	}
	if a.flags.JSON {
		a.printJSON(map[string]any{"error": a.shorten(err.Error())})
	}
	fmt.Fprintln(a.stderr, "dlm:", a.shorten(err.Error()))
}
