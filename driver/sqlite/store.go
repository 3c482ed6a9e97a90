package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"dlm"

	"github.com/pressly/goose/v3"
	sqlitedriver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed migrations/*.sql
var migrations embed.FS

// staleTemp is how old a file in tmp/ must be before Open deletes it: older
// than any write that could still be under way.
const staleTemp = 24 * time.Hour

// ErrNotFound is what lookups of things that are not there return (wrapped).
var ErrNotFound = errors.New("not found")

// Store is a dlm.Store in one folder.
type Store struct {
	dir    string
	db     *sql.DB
	author string
	now    func() time.Time
}

var _ dlm.Store = (*Store)(nil)

// Open opens the store in dir, making it when it is not there, and brings its
// schema up to date. Changes are recorded under author; when it is empty, under
// DLM_AUTHOR or the name of the user.
func Open(ctx context.Context, dir, author string) (*Store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", dir, err)
	}
	for _, d := range []string{"blobs/sha256", "trees", "runs", "tmp"} {
		if err := os.MkdirAll(filepath.Join(abs, filepath.FromSlash(d)), 0o755); err != nil {
			return nil, fmt.Errorf("store %s: %w", dir, explain(err))
		}
	}
	if author == "" {
		author = defaultAuthor()
	}
	// One process at a time creates the database, switches it to WAL and
	// migrates it; afterwards SQLite's own locks are enough.
	unlock, err := lockFile(filepath.Join(abs, "dlm.db.open"))
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", dir, err)
	}
	defer unlock()
	db, err := sql.Open("sqlite", dsn(filepath.Join(abs, "dlm.db")))
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", dir, err)
	}
	db.SetMaxOpenConns(4)
	if err := migrate(ctx, db); err != nil {
		db.Close()
		return nil, fmt.Errorf("store %s: %w", filepath.Join(dir, "dlm.db"), explain(err))
	}
	s := &Store{dir: abs, db: db, author: author, now: time.Now}
	s.sweepTemp()
	return s, nil
}

// Close closes the database.
func (s *Store) Close() error { return s.db.Close() }

// Dir returns the store's folder as an absolute path.
func (s *Store) Dir() string { return s.dir }

// dsn spells out how the database is opened. The path keeps its "file:" prefix:
// without it the driver drops the parameters.
func dsn(path string) string {
	q := url.Values{}
	for _, p := range []string{"busy_timeout(20000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"} {
		q.Add("_pragma", p)
	}
	// Write transactions take their lock at the start, so that waiting for
	// another process is a wait and not a deadlock.
	q.Set("_txlock", "immediate")
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: q.Encode()}
	return u.String()
}

func migrate(ctx context.Context, db *sql.DB) error {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, sub)
	if err != nil {
		return err
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("not a store's database, or damaged: %w", err)
	}
	sources := p.ListSources()
	if want := sources[len(sources)-1].Version; have > want {
		return fmt.Errorf("schema version %d is newer than this program knows (%d): use the newer dlm that wrote it", have, want)
	}
	_, err = p.Up(ctx)
	return err
}

func (s *Store) sweepTemp() {
	entries, err := os.ReadDir(filepath.Join(s.dir, "tmp"))
	if err != nil {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && s.now().Sub(info.ModTime()) > staleTemp {
			os.RemoveAll(filepath.Join(s.dir, "tmp", e.Name()))
		}
	}
}

// tx runs f in one write transaction.
func (s *Store) tx(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return explain(err)
	}
	if err := f(tx); err != nil {
		return errors.Join(explain(err), tx.Rollback())
	}
	return explain(tx.Commit())
}

// explain adds the next step to errors that come from the machine.
func explain(err error) error {
	if err == nil {
		return nil
	}
	var se *sqlitedriver.Error
	switch {
	case diskFull(err):
		return fmt.Errorf("the disk is full; nothing was changed, free some space and run it again: %w", err)
	case errors.As(err, &se) && se.Code()&0xff == sqlite3.SQLITE_FULL:
		return fmt.Errorf("the disk is full; nothing was changed, free some space and run it again: %w", err)
	case errors.As(err, &se) && se.Code()&0xff == sqlite3.SQLITE_BUSY:
		return fmt.Errorf("another process has held the database for over 20 seconds; run it again, or end that process: %w", err)
	case errors.As(err, &se) && (se.Code()&0xff == sqlite3.SQLITE_CORRUPT || se.Code()&0xff == sqlite3.SQLITE_NOTADB):
		return fmt.Errorf("the database is damaged; the blobs beside it are unharmed, restore dlm.db from a backup: %w", err)
	}
	return err
}

func defaultAuthor() string {
	if a := strings.TrimSpace(os.Getenv("DLM_AUTHOR")); a != "" {
		return a
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "unknown"
}
