-- +goose Up
-- Of the requests for a name, what part goes to this alias: 0 = only those that ask for it.
ALTER TABLE alias_changes ADD COLUMN share REAL NOT NULL DEFAULT 0 CHECK (share >= 0 AND share <= 1);

-- +goose Down
ALTER TABLE alias_changes DROP COLUMN share;
