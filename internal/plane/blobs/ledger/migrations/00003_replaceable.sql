-- +goose Up

-- Whether whoever uploads it can write its object again until the request ends.
ALTER TABLE files ADD COLUMN replaceable boolean NOT NULL DEFAULT false;
