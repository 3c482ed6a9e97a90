-- +goose Up
CREATE TABLE artifacts (
  id       TEXT PRIMARY KEY,             -- sha256:<hex> of the manifest
  seq      INTEGER NOT NULL UNIQUE,      -- order of arrival; created may tie
  kind     TEXT NOT NULL,
  name     TEXT NOT NULL,
  created  INTEGER NOT NULL,             -- nanoseconds since 1970, UTC
  params   TEXT NOT NULL,                -- JSON object of strings
  seed     TEXT NOT NULL,                -- decimal: 64 bits unsigned do not fit INTEGER
  code     TEXT NOT NULL,
  author   TEXT NOT NULL,
  external INTEGER NOT NULL DEFAULT 0    -- 1 = content lies outside the store (a base model)
) STRICT;
CREATE INDEX artifacts_kind ON artifacts (kind, seq DESC);
CREATE INDEX artifacts_name ON artifacts (name, seq DESC);

CREATE TABLE artifact_files (
  artifact TEXT NOT NULL REFERENCES artifacts (id),
  path     TEXT NOT NULL,
  digest   TEXT NOT NULL,
  size     INTEGER NOT NULL,
  PRIMARY KEY (artifact, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX artifact_files_digest ON artifact_files (digest);

CREATE TABLE artifact_parents (
  artifact TEXT NOT NULL REFERENCES artifacts (id),
  ord      INTEGER NOT NULL,
  role     TEXT NOT NULL,
  parent   TEXT NOT NULL REFERENCES artifacts (id),
  PRIMARY KEY (artifact, ord)
) STRICT, WITHOUT ROWID;
CREATE INDEX artifact_parents_parent ON artifact_parents (parent);

CREATE TABLE runs (
  id      TEXT PRIMARY KEY,
  seq     INTEGER NOT NULL UNIQUE,
  stage   TEXT NOT NULL,
  status  TEXT NOT NULL,
  started INTEGER NOT NULL,
  ended   INTEGER NOT NULL,              -- 0 while running
  pid     INTEGER NOT NULL,
  process TEXT NOT NULL,                 -- who that pid is: boot, pid namespace, start time
  params  TEXT NOT NULL,                 -- JSON object of strings
  inputs  TEXT NOT NULL,                 -- JSON array of {role, id}
  outputs TEXT NOT NULL,                 -- JSON array of digests
  metrics TEXT NOT NULL,                 -- JSON object of numbers; NaN and infinities as strings
  dir     TEXT NOT NULL,
  error   TEXT NOT NULL,
  key     TEXT NOT NULL,
  author  TEXT NOT NULL
) STRICT;
CREATE INDEX runs_key ON runs (key);

CREATE TABLE alias_changes (
  seq     INTEGER PRIMARY KEY AUTOINCREMENT,
  alias   TEXT NOT NULL,
  adapter TEXT NOT NULL REFERENCES artifacts (id),
  verdict TEXT NOT NULL,
  forced  INTEGER NOT NULL,
  why     TEXT NOT NULL,
  author  TEXT NOT NULL,
  at      INTEGER NOT NULL
) STRICT;
CREATE INDEX alias_changes_alias ON alias_changes (alias, seq DESC);

-- History is append-only, also for whoever opens the file with another tool.
-- +goose StatementBegin
CREATE TRIGGER alias_changes_no_update BEFORE UPDATE ON alias_changes
BEGIN SELECT RAISE(ABORT, 'alias history is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER alias_changes_no_delete BEFORE DELETE ON alias_changes
BEGIN SELECT RAISE(ABORT, 'alias history is append-only'); END;
-- +goose StatementEnd

-- +goose Down
DROP TABLE alias_changes;
DROP TABLE runs;
DROP TABLE artifact_parents;
DROP TABLE artifact_files;
DROP TABLE artifacts;
