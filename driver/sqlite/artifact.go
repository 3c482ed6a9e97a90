package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"dlm"
)

// Put stores the files below dir (or the one file dir) as an artifact. Its
// parents must be in the store. Equal content gives the equal ID, and then the
// artifact that is already there is returned unchanged, with its first lineage.
//
// With dir empty nothing is copied: the content (a base model of gigabytes)
// stays where it is, a.ID must name it, and Params may say where it lies.
// Materialise refuses such an artifact.
func (s *Store) Put(ctx context.Context, a dlm.Artifact, dir string) (dlm.Artifact, error) {
	if a.Kind == "" {
		return a, errors.New("put artifact: its kind is not set")
	}
	external := dir == ""
	if external {
		if _, err := dlm.ParseDigest(string(a.ID)); err != nil {
			return a, fmt.Errorf("put %s kept outside the store: %w", a.Kind, err)
		}
		if len(a.Files) != 0 {
			return a, fmt.Errorf("put %s kept outside the store: it can list no files", a.Kind)
		}
	} else {
		files, err := s.putFiles(ctx, dir)
		if err != nil {
			return a, fmt.Errorf("put %s %s: %w", a.Kind, a.Name, err)
		}
		a.Files = files
		a.ID = manifestID(a.Kind, files)
	}
	if a.Created.IsZero() {
		a.Created = s.now()
	}
	a.Created = a.Created.UTC().Truncate(time.Nanosecond)
	var out dlm.Artifact
	err := s.tx(ctx, func(tx *sql.Tx) error {
		if have, err := readArtifact(ctx, tx, a.ID); err == nil {
			out = have
			return nil
		} else if !errors.Is(err, ErrNotFound) {
			return err
		}
		if err := s.insertArtifact(ctx, tx, a, external); err != nil {
			return err
		}
		var err error
		out, err = readArtifact(ctx, tx, a.ID)
		return err
	})
	if err != nil {
		return a, fmt.Errorf("put %s %s: %w", a.Kind, a.Name, err)
	}
	return out, nil
}

func (s *Store) putFiles(ctx context.Context, dir string) ([]dlm.File, error) {
	sources, err := listSources(dir)
	if err != nil {
		return nil, err
	}
	files := make([]dlm.File, len(sources))
	for i, src := range sources {
		if err := checkPath(src.rel); err != nil {
			return nil, err
		}
		d, n, err := s.putBlob(ctx, src.disk)
		if err != nil {
			return nil, err
		}
		files[i] = dlm.File{Path: src.rel, Digest: d, Size: n}
	}
	return files, nil
}

func (s *Store) insertArtifact(ctx context.Context, tx *sql.Tx, a dlm.Artifact, external bool) error {
	params, err := json.Marshal(nonNil(a.Params))
	if err != nil {
		return err
	}
	ext := 0
	if external {
		ext = 1
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO artifacts (id, seq, kind, name, created, params, seed, code, author, external)
		VALUES (?, (SELECT coalesce(max(seq), 0) + 1 FROM artifacts), ?, ?, ?, ?, ?, ?, ?, ?)`,
		a.ID, a.Kind, a.Name, a.Created.UnixNano(), string(params), strconv.FormatUint(a.Seed, 10), a.Code, s.author, ext)
	if err != nil {
		return err
	}
	for _, f := range a.Files {
		if _, err := tx.ExecContext(ctx, `INSERT INTO artifact_files (artifact, path, digest, size) VALUES (?, ?, ?, ?)`,
			a.ID, f.Path, f.Digest, f.Size); err != nil {
			return err
		}
	}
	for i, p := range a.Parents {
		var n int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM artifacts WHERE id = ?`, p.ID).Scan(&n); err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("its parent %s (%s) is not in the store: put that first", p.Role, p.ID)
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO artifact_parents (artifact, ord, role, parent) VALUES (?, ?, ?, ?)`,
			a.ID, i, p.Role, p.ID); err != nil {
			return err
		}
	}
	return nil
}

// querier is what a read needs: the database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, q string, args ...any) *sql.Row
}

// Artifact returns the artifact with that ID.
func (s *Store) Artifact(ctx context.Context, id dlm.Digest) (dlm.Artifact, error) {
	if _, err := dlm.ParseDigest(string(id)); err != nil {
		return dlm.Artifact{}, err
	}
	return readArtifact(ctx, s.db, id)
}

func readArtifact(ctx context.Context, q querier, id dlm.Digest) (dlm.Artifact, error) {
	var a dlm.Artifact
	var created int64
	var params, seed string
	err := q.QueryRowContext(ctx, `SELECT id, kind, name, created, params, seed, code FROM artifacts WHERE id = ?`, id).
		Scan(&a.ID, &a.Kind, &a.Name, &created, &params, &seed, &a.Code)
	if errors.Is(err, sql.ErrNoRows) {
		return a, fmt.Errorf("artifact %s: %w in the store", id, ErrNotFound)
	}
	if err != nil {
		return a, explain(err)
	}
	a.Created = time.Unix(0, created).UTC()
	if err := json.Unmarshal([]byte(params), &a.Params); err != nil {
		return a, fmt.Errorf("artifact %s: params: %w", id, err)
	}
	if a.Seed, err = strconv.ParseUint(seed, 10, 64); err != nil {
		return a, fmt.Errorf("artifact %s: seed: %w", id, err)
	}
	err = each(ctx, q, `SELECT path, digest, size FROM artifact_files WHERE artifact = ? ORDER BY path`, func(scan func(...any) error) error {
		var f dlm.File
		err := scan(&f.Path, &f.Digest, &f.Size)
		a.Files = append(a.Files, f)
		return err
	}, id)
	if err != nil {
		return a, err
	}
	err = each(ctx, q, `SELECT role, parent FROM artifact_parents WHERE artifact = ? ORDER BY ord`, func(scan func(...any) error) error {
		var p dlm.Parent
		err := scan(&p.Role, &p.ID)
		a.Parents = append(a.Parents, p)
		return err
	}, id)
	return a, err
}

// each calls f for every row of a query.
func each(ctx context.Context, q querier, query string, f func(scan func(...any) error) error, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return explain(err)
		}
	}
	return explain(rows.Err())
}

// Artifacts lists the artifacts of one kind (of every kind when it is empty),
// newest first.
func (s *Store) Artifacts(ctx context.Context, kind dlm.Kind) ([]dlm.Artifact, error) {
	ids, err := s.ids(ctx, `SELECT id FROM artifacts WHERE kind = ? OR ? = '' ORDER BY seq DESC`, kind, kind)
	if err != nil {
		return nil, err
	}
	out := make([]dlm.Artifact, 0, len(ids))
	for _, id := range ids {
		a, err := readArtifact(ctx, s.db, id)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

func (s *Store) ids(ctx context.Context, query string, args ...any) ([]dlm.Digest, error) {
	var out []dlm.Digest
	err := each(ctx, s.db, query, func(scan func(...any) error) error {
		var id dlm.Digest
		err := scan(&id)
		out = append(out, id)
		return err
	}, args...)
	return out, err
}

var hexPrefix = regexp.MustCompile(`^[0-9a-f]{4,64}$`)

// Find resolves ref among the artifacts of one kind (of every kind when it is
// empty): a digest, a unique prefix of its hex of at least four digits, or a
// name, of which the newest counts. A name wins over a prefix.
func (s *Store) Find(ctx context.Context, kind dlm.Kind, ref string) (dlm.Artifact, error) {
	what := "artifact"
	if kind != "" {
		what = string(kind)
	}
	if strings.HasPrefix(ref, "sha256:") && len(ref) == len("sha256:")+64 {
		a, err := s.Artifact(ctx, dlm.Digest(ref))
		if err == nil && kind != "" && a.Kind != kind {
			return a, fmt.Errorf("%s is a %s, expected a %s", ref, a.Kind, kind)
		}
		return a, err
	}
	ids, err := s.ids(ctx, `SELECT id FROM artifacts WHERE name = ? AND (kind = ? OR ? = '') ORDER BY seq DESC LIMIT 1`, ref, kind, kind)
	if err != nil {
		return dlm.Artifact{}, err
	}
	if h := strings.TrimPrefix(ref, "sha256:"); len(ids) == 0 && hexPrefix.MatchString(h) {
		ids, err = s.ids(ctx, `SELECT id FROM artifacts WHERE id GLOB ? AND (kind = ? OR ? = '') ORDER BY seq DESC`, "sha256:"+h+"*", kind, kind)
		if err != nil {
			return dlm.Artifact{}, err
		}
		if len(ids) > 1 {
			return dlm.Artifact{}, fmt.Errorf("%s %q: %d artifacts start so (%s, %s, ...); give more digits", what, ref, len(ids), ids[0].Short(), ids[1].Short())
		}
	}
	if len(ids) == 0 {
		return dlm.Artifact{}, fmt.Errorf("%s %q: %w; expected a name, a digest, or the first four or more digits of one", what, ref, ErrNotFound)
	}
	return readArtifact(ctx, s.db, ids[0])
}

func nonNil[M ~map[K]V, K comparable, V any](m M) M {
	if m == nil {
		return M{}
	}
	return m
}
