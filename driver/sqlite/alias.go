package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"dlm"
)

// SetAlias appends a change to the alias's history. Author and date are filled
// in when empty.
func (s *Store) SetAlias(ctx context.Context, c dlm.AliasChange) error {
	if _, _, err := dlm.ParseAlias(c.Alias); err != nil {
		return err
	}
	if !(c.Share >= 0 && c.Share <= 1) {
		return fmt.Errorf("alias %s: share %v; expected 0 to 1", c.Alias, c.Share)
	}
	if c.Author == "" {
		c.Author = s.author
	}
	if c.At.IsZero() {
		c.At = s.now()
	}
	err := s.tx(ctx, func(tx *sql.Tx) error {
		a, err := readArtifact(ctx, tx, c.Adapter)
		if err != nil {
			return err
		}
		if a.Kind != dlm.KindAdapter {
			return fmt.Errorf("%s is a %s, expected an adapter", c.Adapter.Short(), a.Kind)
		}
		if c.Verdict != "" {
			if v, err := readArtifact(ctx, tx, c.Verdict); err != nil {
				return err
			} else if v.Kind != dlm.KindVerdict {
				return fmt.Errorf("%s is a %s, expected a verdict", c.Verdict.Short(), v.Kind)
			}
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO alias_changes (alias, adapter, verdict, share, forced, why, author, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			c.Alias, c.Adapter, c.Verdict, c.Share, c.Forced, c.Why, c.Author, c.At.UnixNano())
		return err
	})
	if err != nil {
		return fmt.Errorf("set alias %s: %w", c.Alias, err)
	}
	return nil
}

// Alias returns the newest change of the alias: where it points now.
func (s *Store) Alias(ctx context.Context, name string) (dlm.AliasChange, error) {
	c, err := scanAlias(s.db.QueryRowContext(ctx, selectAlias+` WHERE alias = ? ORDER BY seq DESC LIMIT 1`, name).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return c, fmt.Errorf("alias %q: %w; promote an adapter to it first", name, ErrNotFound)
	}
	return c, explain(err)
}

// History lists the changes of an alias, newest first; of all when name is empty.
func (s *Store) History(ctx context.Context, name string) ([]dlm.AliasChange, error) {
	var out []dlm.AliasChange
	err := each(ctx, s.db, selectAlias+` WHERE alias = ?1 OR ?1 = '' ORDER BY seq DESC`, func(scan func(...any) error) error {
		c, err := scanAlias(scan)
		out = append(out, c)
		return err
	}, name)
	return out, err
}

const selectAlias = `SELECT alias, adapter, verdict, share, forced, why, author, at FROM alias_changes`

func scanAlias(scan func(...any) error) (dlm.AliasChange, error) {
	var c dlm.AliasChange
	var at int64
	err := scan(&c.Alias, &c.Adapter, &c.Verdict, &c.Share, &c.Forced, &c.Why, &c.Author, &at)
	c.At = time.Unix(0, at).UTC()
	return c, err
}
